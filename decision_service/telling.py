"""A decision as its caller is told of it."""

from __future__ import annotations

from struct import Struct

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from decision_service.api.recommendations import AnswerSource, RankedArm, Recommendation
from decision_service.times import utc
from sidecar.contracts.events import DecisionEvent, Slot

_FLOAT32 = Struct("<f")
"""A score among those of an event."""


def told(
    event: DecisionEvent,
    ids: tuple[str, ...],
    pmf: npt.NDArray[np.float64],
    source: AnswerSource,
    deadline_ms: int | None,
) -> Recommendation:
    """The public form of a decision over the eligible ``ids``; without a deadline it was not logged."""
    return Recommendation(
        decision_id=event.decision_id,
        session_id=event.session_id,
        arm=event.arm,
        probability=event.propensity,
        ranking=ranking(event, ids, pmf),
        source=source,
        policy=event.policy,
        model_version=event.model_version,
        expected=UNSET if event.expected is None else event.expected,
        rank=UNSET if event.rank is None else event.rank,
        logged=deadline_ms is not None,
        reward_until=None if deadline_ms is None else utc(deadline_ms),
    )


def ranking(event: DecisionEvent, ids: tuple[str, ...], pmf: npt.NDArray[np.float64]) -> list[RankedArm]:
    """The arms to be shown, slot by slot; where all were asked for, all by score, equal ones in order."""
    if event.limit == 1 or event.slots:
        shown: list[DecisionEvent | Slot] = [event, *event.slots]
        return [
            RankedArm(one.arm, one.propensity, _FLOAT32.unpack_from(event.scores, 4 * one.arm_index)[0])
            for one in shown
        ]
    scores = np.frombuffer(event.scores, dtype="<f4")
    best = np.argsort(-scores, kind="stable")[: event.limit]
    return [RankedArm(ids[place], float(pmf[place]), float(scores[place])) for place in best]
