"""Self-normalised doubly robust: DR whose correction is a weighted mean, as in SNIPS.

Philip S. Thomas, Emma Brunskill: Data-Efficient Off-Policy Policy Evaluation for Reinforcement Learning,
2016. The interval is the delta method's.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator, Fit
from offline_eval.sums import MODEL, ONE, RESIDUAL, WEIGHT, Sums


def fit(sums: Sums) -> Fit:
    """Mean v + sum w (r - q) / sum w.

    >>> from offline_eval.sums import sums_of_rows
    >>> rows = sums_of_rows([1, 0, 1, 0], [0.5] * 4, [0.8, 0.2, 0.4, 0.2], q=[0.9, 0.1] * 2, v=[0.74] * 4)
    >>> fit(rows).value
    0.79
    """
    model = float(sums.means[MODEL])
    correction = float(sums.first[RESIDUAL]) / sums.weight
    residual = sums.unit(RESIDUAL) - correction * sums.unit(ONE, WEIGHT)
    influence = sums.unit(MODEL) - model * sums.unit(ONE) + residual * (sums.total / sums.weight)
    return Fit(sums.centre + model + correction, influence, is_mean=False)


SNDR = Estimator("sndr", fit, needs_model=True)
