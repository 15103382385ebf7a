"""Tails of the beta and the chi-square distribution, which the standard library lacks.

By the continued fractions of the regularised incomplete functions (William Press et al.: Numerical
Recipes, 1992, sections 6.2 and 6.4, after Lentz) and halving.
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


def chi_square_tail(x: float, freedom: float) -> float:
    """The chance that a chi-square number of so many degrees of freedom exceeds x.

    >>> chi_square_tail(240.08316, 237)
    0.4319
    """
    if x <= 0.0 or freedom <= 0.0:
        return 1.0
    a, half = freedom / 2, x / 2
    scale = math.exp(a * math.log(half) - half - math.lgamma(a))
    return 1.0 - scale * _gamma_series(half, a) if half < a + 1 else scale * _gamma_fraction(half, a)


def _gamma_series(x: float, a: float) -> float:
    term = total = 1.0 / a
    for n in range(1, _MOST_STEPS):
        term *= x / (a + n)
        total += term
        if term < total * 1e-16:
            break
    return total


def _gamma_fraction(x: float, a: float) -> float:
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / _away_from_zero(b)
    value = d
    for n in range(1, _MOST_STEPS):
        b += 2
        step = -n * (n - a)
        d, c = 1 / _away_from_zero(step * d + b), _away_from_zero(b + step / c)
        value *= d * c
        if abs(d * c - 1.0) < 1e-16:
            break
    return value


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
