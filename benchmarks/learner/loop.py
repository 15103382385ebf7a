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
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pyarrow.parquet as pq

from benchmarks.figures import Figure, median_of
from benchmarks.learner.scene import Scene, scene
from benchmarks.learner.workload import APP, Workload, dsjson
from sidecar.contracts.events import DecisionEvent

EXAMPLES = 100_000
"""So many that the last file, which waits for its moment, is no part of the figure that counts."""
ROUNDS = 3
GATE = 0.15
WORKLOAD = Workload(arms=10, partitions=4)
TOGETHER = ("policy_learner",)
APART = ("policy_learner", "policy_learner.joiner", "policy_learner.archiver")
_POLL_S = 0.01
_SETTLING_S = 1.5
"""By then the learner has looked at the leases, and leaves to the joiner what is its."""


def figures() -> list[Figure]:
    """Examples per second: the learner alone, as ``sidearm up`` starts it, and with joiner and archiver."""
    events = WORKLOAD.decisions(0, EXAMPLES)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "examples.dsjson"
        catalogue = WORKLOAD.catalogue
        path.write_text("".join(dsjson(e, catalogue, WORKLOAD.reward_of(n)) for n, e in enumerate(events)))
        rounds = [
            (driver(path), whole_loop(events, folder, TOGETHER), whole_loop(events, folder, APART))
            for _ in range(ROUNDS)
        ]
    theirs, together, apart = ([one[n] for one in rounds] for n in range(3))
    return [
        _figure("learner.whole_loop_per_s", together, theirs, None),
        _figure("learner.whole_loop_apart_per_s", apart, theirs, GATE),
    ]


class Spent(NamedTuple):
    """What a run took."""

    seconds: float
    cpu_us: Mapping[str, float] = MappingProxyType({})
    """Processor time for each example, by process."""


def _figure(name: str, ours: list[Spent], theirs: list[Spent], gate: float | None) -> Figure:
    per_s, driver_per_s = (EXAMPLES / median_of([one.seconds for one in runs]) for runs in (ours, theirs))
    facts = {"examples": EXAMPLES, "arms": WORKLOAD.arms, "partitions": WORKLOAD.partitions}
    cpu = {name: round(us, 1) for name, us in ours[-1].cpu_us.items()}
    yardstick = "VW's command-line driver, same examples"
    told = facts | {"cpu_us_each": cpu}
    return Figure(name, per_s, "examples/s", driver_per_s, yardstick, at_least=gate, facts=told)


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
        stage.decide(events)
        stage.reward(events, 0)
        for module in modules:
            stage.start(module)
        stage.wait(lambda: stage.status("state") == "running", "the start", _POLL_S)
        stage.wait(lambda: stage.helpers() == len(modules) - 1, "the start of its helpers", _POLL_S)
        time.sleep(_SETTLING_S)
        rows = Rows(stage)
        began, cpu = time.perf_counter(), stage.cpu_s()
        stage.pass_horizon()
        stage.wait(lambda: stage.published() == len(events), "learning", _POLL_S)
        stage.wait(lambda: rows.count() == len(events), "archiving", _POLL_S)
        took, spent = time.perf_counter() - began, stage.cpu_s()
        return Spent(took, {name: (spent[name] - cpu[name]) / len(events) * 1e6 for name in cpu})


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
