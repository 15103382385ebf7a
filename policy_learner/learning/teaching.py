"""What an entry of the example stream teaches: which kinds are trained on, with which number.

======  =======================================================  =========================================
kind    entry                                                     effect
======  =======================================================  =========================================
``F``   a decision at its horizon, with all of its rewards        mode wait: learnt. Mode earliest: learnt if
                                                                  no reward came, else ``E`` was. Mode assume:
                                                                  not learnt, ``A`` and ``C`` were; looked at
``N``   a deferred decision that nobody activated                 none
``A``   mode assume: a decision as it is made                     learnt with the default reward
``C``   mode assume: one more reward of it                        learnt as a correction of what came before
``E``   mode earliest: a decision at its first reward             learnt with the rewards so far
======  =======================================================  =========================================

The same holds for the rows that these entries become: ``F`` and ``N`` in the dataset ``decisions``, the rest
in ``lessons``.

Source: training at once and again when the reward comes: S. I. Ktena and others, "Addressing Delayed Feedback
for Continuous Training with Neural Networks in CTR Prediction", 2019; here without their weights, since a
correction makes up the difference.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import NamedTuple

from policy_learner.join.streams import Entry
from sidecar.contracts.events import DecisionEvent, JoinedDecision
from sidecar.contracts.joining import join
from sidecar.contracts.reward_section import RewardConfig

FINAL, NEVER, ASSUMED, CORRECTED, EARLIEST = "F", "N", "A", "C", "E"
"""The kinds of entries."""
CLOSING = (FINAL, NEVER)
"""Kinds that close a decision: each has exactly one such entry, and by it its row."""
WAIT, ASSUME, AT_ONCE = "w", "a", "e"
"""The modes of decisions: wait, assume, earliest."""


_LESSONS = tuple(kind.encode() for kind in (ASSUMED, CORRECTED, EARLIEST))


class Effect(StrEnum):
    """What an entry does to the model, and to the figures of how well the model foresees."""

    LEARNT = "learnt"
    """It is an example with the reward that counts: trained on, and watched by the progressive metrics."""
    ASSUMED = "assumed"
    """Trained on; what really came of the decision is not known yet."""
    CORRECTED = "corrected"
    """Trained on: the difference that a reward makes to what was assumed, or corrected, before."""
    WATCHED = "watched"
    """Trained on before, bit by bit; now its reward is known, and the metrics see it."""
    NONE = "none"


TRAINED = (Effect.LEARNT, Effect.ASSUMED, Effect.CORRECTED)


class Teaching(NamedTuple):
    """One entry as the trainer takes it."""

    event: DecisionEvent
    reward: float
    """What came of the decision; of a correction, what is to be added to what was learnt before."""
    effect: Effect = Effect.LEARNT


def is_lesson(entry: Entry) -> bool:
    """Whether an entry teaches of a decision before its horizon: it is no row of ``decisions``."""
    return entry[1].get(b"k") in _LESSONS


@cache
def effect_of(kind: str, mode: str, rewarded: bool) -> Effect:
    """What an entry does.

    Args:
        kind: of the entry.
        mode: of its decision.
        rewarded: whether it holds a reward.

    >>> effect_of("F", "e", rewarded=True)
    <Effect.NONE: 'none'>
    """
    match kind:
        case "F" if mode == ASSUME:
            return Effect.WATCHED
        case "F" if mode == AT_ONCE and rewarded:
            return Effect.NONE
        case "F" | "E":
            return Effect.LEARNT
        case "A":
            return Effect.ASSUMED
        case "C":
            return Effect.CORRECTED
        case _:
            return Effect.NONE


def teaching_of(joined: JoinedDecision, config: RewardConfig) -> Teaching:
    """What an entry teaches, by the rewards that it holds.

    A correction is the difference to what the model was told before: to the reward without the new one.
    """
    rewards = joined.rewards
    value = join(rewards, config).value if rewards else config.default
    if joined.kind == CORRECTED:
        value -= join([one for one in joined.rewards if one.key != joined.key], config).value
    return Teaching(joined.decision, value, effect_of(joined.kind, joined.mode, bool(rewards)))
