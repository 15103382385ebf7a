"""The quantile of the beta distribution, which the standard library lacks.

By the continued fraction of the regularised incomplete beta function (William Press et al.: Numerical
Recipes, 1992, section 6.4, after Lentz) and halving.
"""

from __future__ import annotations

import math

_TINY = 1e-300
_MOST_STEPS = 10_000
_HALVINGS = 200


def incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), the chance that a beta(a, b) number is at most x; a, b > 0.

    >>> incomplete_beta(0.5, 2.0, 2.0)
    0.5
    """
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1.0 - incomplete_beta(1 - x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(scale) * _fraction(x, a, b) / a


def beta_quantile(chance: float, a: float, b: float) -> float:
    """The x at which I_x(a, b) is ``chance``.

    >>> beta_quantile(0.5, 3.0, 3.0)
    0.5
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if incomplete_beta(middle, a, b) < chance:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1.0 / _away_from_zero(1.0 + even * d), _away_from_zero(1.0 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / _away_from_zero(1.0 + odd * d), _away_from_zero(1.0 + odd / c)
        value *= d * c
        if abs(d * c - 1.0) < 1e-16:
            break
    return value


def _away_from_zero(x: float) -> float:
    return x if abs(x) > _TINY else _TINY
