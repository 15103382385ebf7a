"""What the metrics and the gate see of a batch: examples whose reward is known, and what was foreseen.

A decision that is learnt bit by bit (mode assume) is seen at its last entry, when all of it was learnt:
there what was foreseen is what it was served with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy_learner.learning.trainer import Example, Foreseen
from policy_learner.learning.vw_format import packed

_SCORE_BYTES = 4


def is_watchable(example: Example) -> bool:
    """Whether the model scored the arms of a decision when it was made: numbers, one for each arm."""
    event = example.event
    if event.source != "model" or len(event.scores) != _SCORE_BYTES * len(example.arms):
        return False
    return bool(np.isfinite(np.frombuffer(event.scores, "<f4")).all())


def as_served(examples: Sequence[Example]) -> Foreseen:
    """What was foreseen of decisions when they were made."""
    foreseen = Foreseen([], [])
    for example in examples:
        scores = np.frombuffer(example.event.scores, "<f4")
        foreseen.shown.append(float(scores[example.event.arm_index]))
        foreseen.costs.append(packed(np.sort(np.float32(0.0) - scores).tolist()))
    return foreseen


def some_of(foreseen: Foreseen, places: Sequence[int]) -> Foreseen:
    """What was foreseen of the examples at some places."""
    return Foreseen([foreseen.shown[n] for n in places], [foreseen.costs[n] for n in places])
