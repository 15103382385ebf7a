"""What logged decisions say of the difference of two policies: one outcome each, right on average.

With ``D(a) = (pmf of A - pmf of B) / p`` at arm ``a``, drawn with probability ``p``, and the reward ``r`` in
[0, 1], ``D r`` has the difference of the values as its mean. Two things are taken off, whose mean is known
and put back: a baseline, since what moves with all rewards alike says nothing; and of large weights so much
that no outcome is below ``-(reach + 1)``. So the test needs no bound of the weights (the idea is of
Waudby-Smith and others, 2022, section 2.1, there for one policy; here for the difference, so that what both
policies would have shown alike cancels exactly).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from policy_learner.promotion.evidence import REACHES, Floats


def apart(ours: Floats, theirs: Floats, chances: Floats) -> Floats:
    """``D`` of every arm, ``(n, n_arms)``.

    Args:
        ours: pmfs of A, ``(n, n_arms)``.
        theirs: of B.
        chances: that the arms were drawn from. Where one is 0, 0: an arm that is never drawn is taken to earn
            nothing.
    """
    return np.divide(ours - theirs, chances, out=np.zeros_like(chances), where=chances > 0.0)


def gains(
    weights: Floats, chances: Floats, shown: npt.NDArray[np.intp], rewards: Floats, baseline: float
) -> Floats:
    """Outcomes of decisions with equally many arms, ``(n_reaches, n)``.

    Args:
        weights: :func:`apart` of the two policies.
        chances: that the arms were drawn from, ``(n, n_arms)``.
        shown: place of the drawn arm, ``(n,)``.
        rewards: in [0, 1], ``(n,)``.
        baseline: in [0, 1], known before these rewards were.
    """
    reach = REACHES[:, None, None]
    taken = np.minimum(weights * baseline, reach + np.minimum(weights, 0.0))
    rows = np.arange(len(shown))
    outcomes: Floats = weights[rows, shown] * rewards - taken[:, rows, shown] + (chances * taken).sum(-1)
    return outcomes
