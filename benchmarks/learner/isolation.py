"""VW in a process of its own beside VW in the learner's: the same trainer on the same stored decisions.

From stored bytes to updated weights, in batches as the learner reads them. The process of its own learns a
batch while the next one is decoded, checked and written as text.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure, median_of
from benchmarks.learning import CATALOGUE, MODEL, stored_decision
from policy_learner.learning.isolated_trainer import IsolatedTrainer
from policy_learner.learning.trainer import Example, Trainer
from sidecar.contracts.events import arms_of, decode_decision

EXAMPLES = 40_960
BATCH = 256
ROUNDS = 5
_UNDER_WAY = 3
"""Batches that were begun and are not waited for: the partitions of one step of the loop."""


class Spent(NamedTuple):
    """What a run took."""

    seconds: float
    here_s: float
    """Processor time of the learner."""
    there_s: float = 0.0
    """Of the process of its own."""


def figures() -> list[Figure]:
    """Examples per second in turns, and the processor time for each."""
    stored = [stored_decision(n, random.Random(n)) for n in range(EXAMPLES)]
    pairs = [(_together(stored), _isolated(stored)) for _ in range(ROUNDS)]
    together, isolated = (EXAMPLES / median_of([pair[n].seconds for pair in pairs]) for n in (0, 1))
    middle = {
        "cpu_us_together": median_of([pair[0].here_s for pair in pairs]),
        "cpu_us_here": median_of([pair[1].here_s for pair in pairs]),
        "cpu_us_there": median_of([pair[1].there_s for pair in pairs]),
    }
    facts = {name: round(seconds / EXAMPLES * 1e6, 1) for name, seconds in middle.items()}
    yardstick = "the same trainer in the learner's process"
    name = "learner.isolated_examples_per_s"
    return [Figure(name, isolated, "examples/s", together, yardstick, at_least=0.95, facts=facts)]


def _together(stored: list[tuple[bytes, float]]) -> Spent:
    trainer = Trainer(MODEL)
    began, cpu = time.perf_counter(), time.process_time()
    for examples in _batches(stored):
        trainer.learn(examples)
    trainer.weights_values()
    return Spent(time.perf_counter() - began, time.process_time() - cpu)


def _isolated(stored: list[tuple[bytes, float]]) -> Spent:
    trainer = IsolatedTrainer(MODEL)
    assert trainer.pid is not None
    began, cpu, there = time.perf_counter(), time.process_time(), _cpu_s(trainer.pid)
    under_way: list[list[Example]] = []
    for examples in _batches(stored):
        trainer.ahead(examples)
        under_way.append(examples)
        if len(under_way) >= _UNDER_WAY:
            trainer.learn(under_way.pop(0))
    for examples in under_way:
        trainer.learn(examples)
    trainer.weights_values()
    spent = Spent(time.perf_counter() - began, time.process_time() - cpu, _cpu_s(trainer.pid) - there)
    trainer.close()
    return spent


def _batches(stored: list[tuple[bytes, float]]) -> Iterator[list[Example]]:
    for start in range(0, len(stored), BATCH):
        events = [(decode_decision(payload), reward) for payload, reward in stored[start : start + BATCH]]
        yield [Example(event, arms_of(event, CATALOGUE), reward) for event, reward in events]


def _cpu_s(pid: int) -> float:
    """Seconds that a process has had, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
