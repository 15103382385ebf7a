"""The whole loop, from decisions whose horizon has ended to published weights and Parquet files, beside VW's
own command-line driver, which learns the same examples from a dsjson file.

Ours reads from the store, joins, decodes, trains, gates, publishes, and writes every row; the processes are
the platform's own, with a durable store on the same machine. The driver's clock runs inside its process,
without its start. Both take turns.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pyarrow.parquet as pq

from benchmarks.figures import Figure
from benchmarks.learner.scene import Scene, scene
from benchmarks.learner.workload import APP, Workload, dsjson
from sidecar.contracts.events import DecisionEvent

EXAMPLES = 100_000
"""So many that the last file, which waits for its moment, is no part of the figure that counts."""
WARM_UP = 2_000
"""More of them before the clock runs: the driver's own start is not timed either."""
ROUNDS = 3
GATE = 0.15
WORKLOAD = Workload(arms=10, partitions=4)
TOGETHER = ("policy_learner",)
APART = ("policy_learner", "policy_learner.joiner", "policy_learner.archiver")
_POLL_S = 0.01


def figures() -> list[Figure]:
    """Examples per second: the learner alone, as ``sidearm up`` starts it, and with joiner and archiver."""
    events = WORKLOAD.decisions(0, WARM_UP + EXAMPLES)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "examples.dsjson"
        timed, catalogue = enumerate(events[WARM_UP:], WARM_UP), WORKLOAD.catalogue
        path.write_text("".join(dsjson(e, catalogue, WORKLOAD.reward_of(n)) for n, e in timed))
        pairs = [
            [Pair(whole_loop(events, folder, modules), driver(path)) for modules in (TOGETHER, APART)]
            for _ in range(ROUNDS)
        ]
    together, apart = zip(*pairs, strict=True)
    return [
        _figure("learner.whole_loop_per_s", together, None),
        _figure("learner.whole_loop_apart_per_s", apart, GATE),
    ]


class Spent(NamedTuple):
    """What a run took."""

    seconds: float
    cpu_us: Mapping[str, float] = MappingProxyType({})
    """Processor time for each example, by process."""

    @property
    def per_s(self) -> float:
        """Examples."""
        return EXAMPLES / self.seconds


class Pair(NamedTuple):
    """Ours, and the driver right after it: a shared machine is fast or slow for both."""

    ours: Spent
    theirs: Spent

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return self.ours.per_s / self.theirs.per_s


def _figure(name: str, pairs: Sequence[Pair], gate: float | None) -> Figure:
    """The pair of the median ratio; all of them are told."""
    middle = sorted(pairs, key=lambda pair: pair.ratio)[len(pairs) // 2]
    facts = {
        "examples": EXAMPLES,
        "arms": WORKLOAD.arms,
        "partitions": WORKLOAD.partitions,
        "pairs": [[round(one.ours.per_s), round(one.theirs.per_s), round(one.ratio, 3)] for one in pairs],
        "cpu_us_each": {name: round(us, 1) for name, us in middle.ours.cpu_us.items()},
    }
    ours, theirs = middle.ours.per_s, middle.theirs.per_s
    yardstick = "VW's command-line driver, same examples"
    return Figure(name, ours, "examples/s", theirs, yardstick, at_least=gate, facts=facts)


def driver(path: Path) -> Spent:
    """Seconds of the driver's own work: a process of its own, timed from inside, without its imports."""
    program = (
        "import sys, time; from vowpal_wabbit_next import run_cli_driver\n"
        "began = time.perf_counter(); run_cli_driver(sys.argv[1:]); print(time.perf_counter() - began)"
    )
    options = ["--dsjson", "-d", str(path), "--cb_adf", "-b", "18", "-q", "ca", "--quiet", "--chain_hash"]
    command = [sys.executable, "-c", program, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Spent(float(done.stdout.split()[-1]))


def whole_loop(events: list[DecisionEvent], folder: str, modules: tuple[str, ...]) -> Spent:
    """Seconds from the end of all horizons until the last example is published and the last row on disk."""
    archiver = "apart" if "policy_learner.archiver" in modules else "here"
    settings = {"archiver": archiver, "archive_every_s": 0.5}
    with scene(WORKLOAD, Path(folder) / "s", **settings) as stage:
        rows = Rows(stage)
        for module in modules:
            stage.start(module)
        stage.wait(lambda: stage.status("state") == "running", "the start", _POLL_S)
        stage.wait(lambda: stage.helpers() == len(modules) - 1, "the start of its helpers", _POLL_S)
        _decided(stage, events[:WARM_UP], 0)
        _finish(stage, rows, WARM_UP)
        _decided(stage, events[WARM_UP:], WARM_UP)
        began, cpu = time.perf_counter(), stage.cpu_s()
        _finish(stage, rows, len(events))
        took, spent = time.perf_counter() - began, stage.cpu_s()
        return Spent(took, {name: (spent[name] - cpu[name]) / EXAMPLES * 1e6 for name in cpu})


def _decided(stage: Scene, events: Sequence[DecisionEvent], first: int) -> None:
    stage.decide(events)
    stage.reward(events, first)


def _finish(stage: Scene, rows: Rows, count: int) -> None:
    """Let the horizons end, and wait until all is published and on disk."""
    stage.pass_horizon()
    stage.wait(lambda: stage.published() == count, "learning", _POLL_S)
    stage.wait(lambda: rows.count() == count, "archiving", _POLL_S)


class Rows:
    """Rows on disk, each file looked into once: whoever waits must not keep busy whom it waits for."""

    def __init__(self, stage: Scene) -> None:
        self._folder = stage.data.log(APP) / "decisions"
        self._of: dict[Path, int] = {}

    def count(self) -> int:
        """How many there are by now."""
        for path in set(self._folder.glob("*/*/[!.]*.parquet")) - self._of.keys():
            self._of[path] = pq.read_metadata(path).num_rows
        return sum(self._of.values())
