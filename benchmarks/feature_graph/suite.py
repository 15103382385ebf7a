"""Every gate under every Python and loop, in processes of their own; and one line a gate that sums up."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.feature_graph import pythons
from benchmarks.feature_graph.gates import BESIDE_HAMILTON, MODULES, ON_UVLOOP
from benchmarks.feature_graph.pythons import ROOT, Interpreter
from benchmarks.figures import Absent, Broken, Figure, Row

SUITE = "feature_graph"
GIVE_UP_S = 120.0
"""A gate takes ten seconds; one that takes this long hangs."""
CALM_S, CALM = 0.25, 0.97
"""A process that gets this share of so many seconds has no neighbours that want its processor."""
PATIENCE_S = 30.0


class Place(NamedTuple):
    """Where a gate runs."""

    interpreter: Interpreter
    loop: str

    @property
    def name(self) -> str:
        """As it stands in the names of figures."""
        return f"{self.interpreter.tag}.{self.loop}"

    @property
    def why_not(self) -> str:
        """Empty if it can run here."""
        if self.interpreter.python is None:
            return self.interpreter.why_not
        missing = self.loop == "uvloop" and "uvloop" not in self.interpreter.has
        return f"uvloop is not installed for {self.interpreter.tag}" if missing else ""


def rows(chosen: Iterable[str], tell: Callable[[str], None]) -> list[Row]:
    """Measure the chosen gates (all, when none is) and say how it goes.

    A gate that is missed is measured once more before it counts: the machine has other work too.
    """
    found: list[Row] = []
    interpreters = pythons.interpreters(tell)
    for gate in list(chosen) or MODULES:
        of_gate: list[Row] = []
        for place in _places(gate, interpreters):
            of_gate += measure_twice(gate, place, tell)
        found += [*of_gate, summary(gate, of_gate)]
    return found


def summary(gate: str, of_gate: list[Row]) -> Row:
    """The figure of a gate that is nearest to its limit, under the gate's own name.

    It passes if all figures do, and is undecided where something that belongs to the gate is absent; Hamilton
    does not belong to it.
    """
    name = f"{SUITE}.{gate}"
    broken = [row for row in of_gate if isinstance(row, Broken)]
    if broken:
        return Broken(name, f"{broken[0].name}: {broken[0].why}")
    figures = [row for row in of_gate if isinstance(row, Figure)]
    absent = [row for row in of_gate if isinstance(row, Absent) and not row.name.endswith(".hamilton")]
    if not figures:
        return Absent(name, "; ".join(row.why for row in absent))
    worst = max(figures, key=lambda each: each.strain)
    lacks = "; ".join(f"{row.name}: {row.why}" for row in absent)
    return worst._replace(name=name, facts={"worst": worst.name, **worst.facts}, lacks=lacks)


def _places(gate: str, interpreters: list[Interpreter]) -> Iterator[Place]:
    loops = ("asyncio", "uvloop") if gate in ON_UVLOOP else ("asyncio",)
    return (Place(interpreter, loop) for loop in loops for interpreter in interpreters)


def measure_twice(gate: str, place: Place, tell: Callable[[str], None]) -> list[Row]:
    """The figures of a gate in one place, or why there are none; once more if one is missed."""
    name = f"{SUITE}.{gate}.{place.name}"
    if place.why_not:
        tell(f"{name}: absent: {place.why_not}")
        return [Absent(name, place.why_not)]
    for attempt in (1, 2):
        found = _measure(gate, place, attempt)
        if all(row.passed is not False for row in found):
            break
        if attempt == 1:
            tell(f"{name}: missed, once more …")
            wait_for_calm()
    for row in found:
        tell(f"{row.name}: {told(row)}")
    if gate in BESIDE_HAMILTON and "hamilton" not in place.interpreter.has:
        found.append(
            Absent(f"{name}.hamilton", f"apache-hamilton is not installed for {place.interpreter.tag}")
        )
    return found


def wait_for_calm(patience_s: float = PATIENCE_S) -> bool:
    """Wait until the machine has a processor to spare, or no longer than that; True if it has."""
    give_up_s = time.monotonic() + patience_s
    while time.monotonic() < give_up_s:
        began_s, ran_s = time.monotonic(), time.process_time()
        while time.monotonic() < began_s + CALM_S:
            pass
        if time.process_time() - ran_s >= CALM * (time.monotonic() - began_s):
            return True
        time.sleep(CALM_S)
    return False


def told(row: Row) -> str:
    """A few words for whoever waits."""
    if isinstance(row, Figure):
        return f"{row.ratio:.3f} ({row.gate_text}{', missed' if row.passed is False else ''})"
    return f"{'absent' if row.passed is None else 'broken'}: {row.why}"


def _measure(gate: str, place: Place, attempt: int) -> list[Row]:
    assert place.interpreter.python is not None
    name = f"{SUITE}.{gate}.{place.name}"
    command = [place.interpreter.python, "-m", f"{__package__}.child", gate, place.loop]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIVE_UP_S, cwd=ROOT, env=environment
        )
    except subprocess.TimeoutExpired:
        return [Broken(name, f"no answer within {GIVE_UP_S:.0f} s")]
    if done.returncode:
        return [Broken(name, (done.stderr.strip().splitlines() or ["no word"])[-1])]
    facts = {
        "python": place.interpreter.version,
        "loop": place.loop,
        "machine": machine(),
        "measured_times": attempt,
    }
    return [_figure(line, gate, name, facts) for line in done.stdout.splitlines()]


def _figure(line: str, gate: str, name: str, facts: dict[str, object]) -> Figure:
    fields = json.loads(line)
    return Figure(**fields | {"name": name + fields["name"].removeprefix(gate), "facts": facts})


def machine() -> str:
    """System, architecture, processor as far as it is told, number of CPUs."""
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.M) if cpuinfo.exists() else []
    model = models[0] if models else platform.processor()
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} × {model or 'CPU'}"
