"""Real processes under load while everything that can break does, then every invariant.

``python -m tests.faults.processes_run --seconds 60 --seed 1`` prints decisions, rewards, faults by kind and
violations. The seed chooses the faults; what they hit is up to the machine.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sidecar.contracts.events import MODES
from tests.faults.callers import GIVE_UP_S, Caller, merged
from tests.faults.injuries import INJURIES, INJURIES_APART
from tests.faults.logged import Log
from tests.faults.reward_places import counts
from tests.faults.scene import check, check_replay, come_to_rest
from tests.faults.stage import Stage
from tests.processes import Processes
from tests.waiting import until

CALLERS = 4
BETWEEN_FAULTS = 25
"""Answers between two faults: what is broken must have been at work."""


class Report(NamedTuple):
    decisions: int
    rewards: int
    faults: Counter
    answers: Counter
    places: Counter
    """Rewards by where they ended."""
    modes: Counter
    """Rows by the mode of their decision, those never activated among them, and lessons beside them."""


def run(seconds: float, seed: int, root: Path, least: int = 0) -> Report:
    """So long, and longer where it takes that for ``least`` faults.

    Raises:
        AssertionError: a Violation, at the first invariant that does not hold.
    """
    stage = Stage(Processes(root), root, seed)
    try:
        stage.start_all()
        callers, faults = load_and_injure(stage, seconds, seed, least)
        stage.proxy.lose_replies = stage.proxy.reset = 0.0
        faults["replies lost"], faults["requests reset"] = stage.proxy.lost, stage.proxy.resets
        come_to_rest(stage)
        log = check(stage, merged(callers))
    finally:
        stage.stop_all()
    check_replay(stage)
    told = [t for caller in callers for attempts in caller.memory.told.values() for t in attempts]
    return Report(
        decisions=len(log.rows),
        rewards=sum(bool(t.status) for t in told),
        faults=faults,
        answers=sum((caller.statuses for caller in callers), Counter()),
        places=counts(log),
        modes=_modes(log),
    )


def _modes(log: Log) -> Counter:
    modes = Counter(MODES[row["mode"]] for row in log.rows)
    modes["never activated"] = sum(not row["activated"] for row in log.rows)
    modes["lessons"] = len(log.lessons)
    return modes


def load_and_injure(stage: Stage, seconds: float, seed: int, least: int) -> tuple[list[Caller], Counter]:
    """Callers who never give up, and one fault after the other."""
    stop, rng, faults = threading.Event(), random.Random(seed), Counter()
    callers = [Caller(stage, number, seed, stop) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    end, order = time.monotonic() + seconds, []
    try:
        while time.monotonic() < end or faults.total() < least:
            _progress(callers)
            if not order:
                injuries = INJURIES + (INJURIES_APART if stage.apart else ())
                order = rng.sample(injuries, len(injuries))
            faults[order.pop()(stage, rng)] += 1
        _progress(callers)
    finally:
        stop.set()
        for caller in callers:
            caller.join(GIVE_UP_S + 10)
    for caller in callers:
        if caller.failure is not None:
            raise caller.failure
    return callers, faults


def _progress(callers: list[Caller]) -> None:
    goal = sum(caller.answered for caller in callers) + BETWEEN_FAULTS
    until(
        lambda: sum(c.answered for c in callers) >= goal or any(c.failure for c in callers),
        GIVE_UP_S,
        "I7 calls answered",
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    root = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        report = run(arguments.seconds, arguments.seed, root)
    except AssertionError as error:
        print(f"VIOLATION {error}\nthe data is kept in {root}; repeat with SEED={arguments.seed}")
        return 1
    shutil.rmtree(root, ignore_errors=True)
    say(report)
    return 0


def say(report: Report) -> None:
    print(f"decisions {report.decisions}, rewards acknowledged {report.rewards}")
    print(f"rewards by place: {dict(report.places)}")
    print(f"decisions by mode: {dict(report.modes)}")
    print(f"answers by status: {dict(report.answers)}")
    for fault, times in sorted(report.faults.items()):
        print(f"  {times:4d}  {fault}")
    print("violations: 0")


if __name__ == "__main__":
    sys.exit(main())
