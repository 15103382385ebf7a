"""What is said of a candidate in one sentence."""

from __future__ import annotations

import random

from offline_eval.diagnostics import Gates
from offline_eval.sums import sums_of_rows
from offline_eval.verdict import SAME, judge


def verdict_of(e: float) -> str:
    rng = random.Random(1)
    rewards = [float(rng.random() < 0.1) for _ in range(2_000)]
    q = [0.1 + 0.01 * rng.random() for _ in rewards]
    sums = sums_of_rows(rewards, [0.5] * 2_000, [e] * 2_000, q=q, v=[0.2] * 2_000)
    return judge("candidate", sums, "all", 0.95, Gates()).verdict


def test_the_logger_itself_is_never_found_better_than_itself() -> None:
    """Even where the reward model's noise makes a difference that looks like one."""
    assert verdict_of(0.5) == f"green: {SAME}"


def test_another_policy_is_compared() -> None:
    """A weight that is not 1 is a difference."""
    assert "logger itself" not in verdict_of(0.4)
