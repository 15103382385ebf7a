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
from typing import NamedTuple

from sidecar.contracts.application import RewardConfig
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import DecisionEvent, JoinedDecision
from sidecar.contracts.joining import join

FINAL, NEVER, ASSUMED, CORRECTED, EARLIEST = "F", "N", "A", "C", "E"
"""The kinds of entries."""
WAIT, ASSUME, AT_ONCE = "w", "a", "e"
"""The modes of decisions: wait, assume, earliest."""
CLOSING = (FINAL, NEVER)
"""Kinds that close a decision's books: each decision has exactly one such entry, and by it its row."""


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

    Raises:
        BadEvent: a correction does not hold the reward that it is for.
    """
    value = join(joined.rewards, config).value
    if joined.kind == CORRECTED:
        value -= _before(joined, config)
    return Teaching(joined.decision, value, effect_of(joined.kind, joined.mode, bool(joined.rewards)))


def _before(joined: JoinedDecision, config: RewardConfig) -> float:
    """What the model was told of the decision before the reward that a correction is for."""
    others = [reward for reward in joined.rewards if reward.key != joined.key]
    if len(others) != len(joined.rewards) - 1:
        raise BadEvent(f"{joined.decision.decision_id} is corrected by {joined.key!r}: no reward of it")
    return join(others, config).value
