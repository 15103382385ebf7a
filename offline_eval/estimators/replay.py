"""Replay: the mean reward of the rows where the target would have shown the arm that was shown.

Lihong Li, Wei Chu, John Langford, Xuanhui Wang: Unbiased Offline Evaluation of Contextual-bandit-based News
Article Recommendation Algorithms, 2011. A row of a target that draws counts as much as it would have been
drawn: sum e r / sum e, which is the mean over all ways to draw.
"""

from __future__ import annotations

import math

from offline_eval.estimators import snips
from offline_eval.estimators.base import Estimator, Fit
from offline_eval.sums import Sums

_ROUNDING = 1e-12  # a probability of one over the arms may have been rounded


def fit(sums: Sums) -> Fit:
    """Sum e r / sum e: where every arm was drawn with one probability p, e = w p, and this is SNIPS.

    >>> from offline_eval.sums import sums_of_rows
    >>> fit(sums_of_rows(reward=[1, 0, 1, 1], propensity=[0.5] * 4, e=[1, 1, 1, 0])).value
    0.6667
    """
    return snips.fit(sums)


def has_one_propensity(sums: Sums) -> bool:
    """Whether every row was drawn with the same probability, as replay needs.

    >>> from offline_eval.sums import sums_of_rows
    >>> has_one_propensity(sums_of_rows(reward=[1, 0], propensity=[0.5, 0.2], e=[1, 1]))
    False
    """
    least, most = sums.propensities
    return sums.rows > 0 and math.isclose(least, most, rel_tol=_ROUNDING)


REPLAY = Estimator("replay", fit, needs_one_propensity=True)
