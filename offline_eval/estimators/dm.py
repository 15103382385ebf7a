"""Direct method: believe the reward model. Low variance, and wrong by whatever the model is wrong.

Alina Beygelzimer, John Langford: The Offset Tree for Learning with Partial Labels, 2009. The interval knows
the spread of contexts only, not the model's error.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator, Fit, mean_fit
from offline_eval.sums import Sums
from offline_eval.terms import MODEL


def fit(sums: Sums) -> Fit:
    """Mean v, where v = sum over arms of pi_e(a | x) q(x, a).

    >>> from offline_eval.sums import sums_of_rows
    >>> rows = sums_of_rows([1, 0, 1, 0], [0.5] * 4, [0.8, 0.2, 0.8, 0.2], q=[0.9, 0.1] * 2, v=[0.74] * 4)
    >>> fit(rows).value
    0.74
    """
    return mean_fit(sums, sums.unit(MODEL))


DM = Estimator("dm", fit, needs_weights=False, needs_model=True)
