"""How far two models move the same logged decisions apart, in units of their propensities."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from policy_learner.gate_sample import Sampled
from sidecar.contracts.application import Exploration
from sidecar.contracts.events import DecisionEvent
from sidecar.policy.exploration import SCHEMES, Scores, pmf_of

Floats = npt.NDArray[np.float64]
_SCORE_BYTES = 4


def moves(
    rows: Sequence[Sampled], ours: Sequence[Scores], theirs: Sequence[Scores], exploration: Exploration
) -> tuple[Floats, Floats]:
    """What each decision says of the difference of two policies, and how much a drawing of its arm can.

    Args:
        rows: logged decisions.
        ours: scores of all their arms by one model.
        theirs: by the other.
        exploration: how both would explore.

    Returns:
        (our pmf - their pmf) at the shown arm / its propensity, and the mean of the square of that over all
        arms as they are drawn. Where the logging pmf is not known, the square itself: its unbiased estimate.
    """
    moved, spread = np.empty(len(rows)), np.empty(len(rows))
    groups: dict[Hashable, list[int]] = {}
    for place, row in enumerate(rows):
        event = row.example.event
        kind = (len(row.example.arms), event.exploration if _has_pmf(event, row) else None)
        groups.setdefault(kind, []).append(place)
    for places in groups.values():
        some = [rows[place] for place in places]
        apart = pmf_of(np.stack([ours[place] for place in places]), exploration)
        apart = apart - pmf_of(np.stack([theirs[place] for place in places]), exploration)
        moved[places], spread[places] = _of_one_kind(some, apart)
    return moved, spread


def _of_one_kind(rows: Sequence[Sampled], apart: Floats) -> tuple[Floats, Floats]:
    """For rows of one group: equally many arms, drawn in one way, or in one that is not known."""
    events = [row.example.event for row in rows]
    shown = np.array([event.arm_index for event in events])
    moved = apart[np.arange(len(rows)), shown] / np.array([event.propensity for event in events])
    if not _has_pmf(events[0], rows[0]):
        return moved, moved**2
    scores = np.frombuffer(b"".join([event.scores for event in events]), "<f4").reshape(apart.shape)
    if not np.isfinite(scores).all():
        return moved, moved**2
    drawn = pmf_of(scores, events[0].exploration)
    with np.errstate(divide="ignore"):  # an arm that is never drawn, and one model wants: nothing can be said
        squares = np.divide(apart**2, drawn, out=np.zeros_like(apart), where=apart != 0.0)
    return moved, squares.sum(axis=1)


def _has_pmf(event: DecisionEvent, row: Sampled) -> bool:
    arms = len(row.example.arms)
    return event.exploration.scheme in SCHEMES and len(event.scores) == _SCORE_BYTES * arms
