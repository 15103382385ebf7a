"""kill -9 under the learner with ten thousand examples behind its last checkpoint: how long until it is back.

From the start of the new process, its imports included, until it has trained again what was published, and
works. Beside it a Python process that imports the learner's modules and ends: no recovery can be faster.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, median_of
from benchmarks.learner.scene import Scene, scene
from benchmarks.learner.workload import Workload

EXAMPLES = 10_000
ROUNDS = 3
LONGEST_S = 2.0
WORKLOAD = Workload(arms=10, partitions=4)
_IMPORTS = [sys.executable, "-c", "import policy_learner.__main__"]


def figures() -> list[Figure]:
    """Seconds to be caught up with ten thousand examples to replay; and with as many again that are new."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rounds = [(_imports(), *_restart(Path(folder) / f"s{n}")) for n in range(ROUNDS)]
    imports, published, unread = (median_of([one[n] for one in rounds]) for n in range(3))
    facts = {"examples": EXAMPLES, "imports_alone_s": round(imports, 2)}
    return [
        Figure("learner.restart_s", published, "s", LONGEST_S, "the limit", at_most=1.0, facts=facts),
        Figure("learner.restart_and_as_many_new_s", unread, "s", LONGEST_S, "that limit", facts=facts),
    ]


def _restart(root: Path) -> tuple[float, float]:
    """Seconds with examples that were published and are trained again, and with ones that nobody has read."""
    settings = {"checkpoint_every_s": 3600.0, "archive_every_s": 3600.0, "status_every_s": 0.02}
    with scene(WORKLOAD, root, **settings) as stage:
        stage.decide(WORKLOAD.decisions(0, EXAMPLES))
        stage.start("policy_learner")
        stage.wait(lambda: stage.status("state") == "running", "the start")
        stage.pass_horizon()
        stage.wait(lambda: stage.published() == EXAMPLES, "learning")
        stage.kill("policy_learner")
        published = _until_back(stage, EXAMPLES)
        stage.kill("policy_learner")
        stage.start("policy_learner.joiner")
        stage.decide(WORKLOAD.decisions(EXAMPLES, EXAMPLES))
        stage.pass_horizon()
        stage.wait(lambda: stage.waiting() == 0, "closing")
        stage.kill("policy_learner.joiner")
        return published, _until_back(stage, 2 * EXAMPLES)


def _until_back(stage: Scene, examples: int) -> float:
    """Seconds from the start of a process until it runs and all of that is published."""
    pid = stage.status("pid")
    began = time.perf_counter()
    stage.start("policy_learner")
    stage.wait(lambda: stage.status("pid") != pid and stage.published() >= examples, "being back")
    return time.perf_counter() - began


def _imports() -> float:
    began = time.perf_counter()
    subprocess.run(_IMPORTS, check=True)
    return time.perf_counter() - began
