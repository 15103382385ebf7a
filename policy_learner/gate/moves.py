"""How far two models move the same logged decisions apart, in units of their propensities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from policy_learner.gate.gate_sample import Whole
from sidecar.contracts.application import Exploration
from sidecar.policy.exploration import Scores, pmf_of

Floats = npt.NDArray[np.float64]


def moves(decisions: Whole, ours: Scores, theirs: Scores, exploration: Exploration) -> tuple[Floats, Floats]:
    """What each decision says of the difference of two policies, and how much a drawing of its arm can.

    Args:
        decisions: as they were logged.
        ours: scores of all their arms by one model, one decision after the other.
        theirs: by the other.
        exploration: how both would explore.

    Returns:
        (our pmf - their pmf) at the shown arm / its propensity, and the mean of the square of that over all
        arms as they are drawn. Where the logging pmf is not known, the square itself: its unbiased estimate.
    """
    moved, spread = np.empty(len(decisions.sizes)), np.empty(len(decisions.sizes))
    starts = decisions.sizes.cumsum() - decisions.sizes
    for size in np.unique(decisions.sizes):
        places = np.flatnonzero(decisions.sizes == size)
        arms = starts[places][:, None] + np.arange(size)
        apart = pmf_of(ours[arms], exploration) - pmf_of(theirs[arms], exploration)
        at_shown = apart[np.arange(len(places)), decisions.shown[places]] / decisions.propensities[places]
        moved[places], spread[places] = at_shown, _spread(at_shown, apart, decisions.chances[arms])
    return moved, spread


def _spread(moved: Floats, apart: Floats, chances: Floats) -> Floats:
    """Of decisions with equally many arms: ``(n,)``, ``(n, n_arms)`` and ``(n, n_arms)``."""
    with np.errstate(divide="ignore"):  # an arm that is never drawn, and one model wants: nothing can be said
        squares = np.divide(apart**2, chances, out=np.zeros_like(apart), where=apart != 0.0)
    spread: Floats = np.where(np.isnan(chances[:, 0]), moved**2, squares.sum(axis=1))
    return spread
