"""Self-normalised IPS: a weighted mean, bounded by the rewards and unmoved when they are shifted.

Adith Swaminathan, Thorsten Joachims: The Self-Normalized Estimator for Counterfactual Learning, 2015. The
interval is the delta method's: Art B. Owen: Monte Carlo theory, methods and examples, 2013, section 9.2.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator, Fit, Ratio, ratio_fit
from offline_eval.sums import Sums
from offline_eval.terms import ONE, WEIGHT, WEIGHTED


def fit(sums: Sums) -> Fit:
    """V = sum w r / sum w, with standard error sqrt(sum w² (r - V)²) / sum w.

    >>> from offline_eval.sums import sums_of_rows
    >>> fit(sums_of_rows(reward=[1, 0, 1, 0], propensity=[0.5] * 4, e=[0.8, 0.2, 0.4, 0.2])).value
    0.75
    """
    return ratio_fit(sums, Ratio(sums.unit(WEIGHTED), sums.unit(ONE, WEIGHT)))


SNIPS = Estimator("snips", fit)
