"""What estimators with a shrunk weight g share: mean g r, and mean v + g (r - q)."""

from __future__ import annotations

from functools import partial

from offline_eval.estimators.base import Estimator, Fit, mean_fit
from offline_eval.sums import Sums
from offline_eval.terms import MODEL, Kind, Shrunk


def fit_reward(sums: Sums, shrunk: Shrunk) -> Fit:
    """Mean g r.

    Raises:
        BadSums: the scan did not sum it.
    """
    return mean_fit(sums, sums.unit(sums.place(shrunk)))


def fit_residual(sums: Sums, shrunk: Shrunk) -> Fit:
    """Mean v + g (r - q).

    Raises:
        BadSums: the scan did not sum it.
    """
    return mean_fit(sums, sums.unit(MODEL, sums.place(shrunk)))


def of_reward(name: str, kind: Kind, limit: float) -> Estimator:
    """An estimator of mean g r; its name says the limit."""
    shrunk = Shrunk(kind, limit, "reward")
    return Estimator(f"{name}_{limit:g}", partial(fit_reward, shrunk=shrunk), shrunk=shrunk)


def of_residual(name: str, kind: Kind, limit: float) -> Estimator:
    """An estimator of mean v + g (r - q); its name says the limit."""
    shrunk = Shrunk(kind, limit, "residual")
    fit = partial(fit_residual, shrunk=shrunk)
    return Estimator(f"{name}_{limit:g}", fit, needs_model=True, shrunk=shrunk)
