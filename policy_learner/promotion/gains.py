"""What logged decisions say of the difference of two policies: one outcome each, right on average.

With ``D(a) = (pmf of A - pmf of B) / p`` at arm ``a``, drawn with probability ``p``, and the reward ``r`` in
[0, 1], ``D r`` has the difference of the values as its mean. Two things are taken off, whose mean is known
and put back: a baseline, since what moves with all rewards alike says nothing; and of large weights so much
that no outcome is below ``-(reach + 1)``. So the test needs no bound of the weights (the idea is of
Waudby-Smith and others, 2022, section 2.1, there for one policy; here for the difference, so that what both
policies would have shown alike cancels exactly).

Of an arm that is never drawn nobody knows what it earns: it is taken to be worst for A, nothing where A wants
it more than B does, else all there is. So A is not called better for what B lost by never being let.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidecar.policy.evidence import REACHES, Floats

NEVER = 1e-12
"""What is drawn more rarely is not drawn at all: weights stay finite."""


def gains(
    ours: Floats,
    theirs: Floats,
    chances: Floats,
    shown: npt.NDArray[np.intp],
    rewards: Floats,
    baseline: float,
) -> Floats:
    """Outcomes of decisions with equally many arms, ``(n_reaches, n)``.

    Args:
        ours: pmfs of A, ``(n, n_arms)``.
        theirs: of B.
        chances: that the arms were drawn from, ``(n, n_arms)``.
        shown: place of the drawn arm, ``(n,)``.
        rewards: in [0, 1], ``(n,)``.
        baseline: in [0, 1], known before these rewards were.
    """
    apart, is_drawn = ours - theirs, chances > NEVER
    weights = np.divide(apart, chances, out=np.zeros_like(chances), where=is_drawn)
    reach, rows = REACHES[:, None, None], np.arange(len(shown))
    taken = np.minimum(weights * baseline, reach + np.minimum(weights, 0.0))
    feared = np.where(is_drawn, 0.0, np.minimum(apart, 0.0)).sum(axis=-1)
    outcomes: Floats = (
        weights[rows, shown] * rewards - taken[:, rows, shown] + (chances * taken).sum(-1) + feared
    )
    return outcomes
