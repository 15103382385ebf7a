"""Scored relations for tests, drawn from a seed."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from offline_eval.estimators import ON_POLICY, Limits, estimators, plan_of
from offline_eval.estimators.base import standard_error
from offline_eval.scan import partial
from offline_eval.sums import Sums, sums_of_rows


def scored(n: int, seed: int, offset: float = 0.0, **changes: object) -> dict[str, np.ndarray]:
    """Columns of a scored relation of ten arms without context, rewards Bernoulli plus ``offset``."""
    random = np.random.default_rng(seed)
    logger, target, means = random.dirichlet(np.full(10, 2.0), 3)
    logger, means = 0.8 * logger + 0.02, 0.2 + 0.6 * means / means.max()
    arm = random.choice(10, n, p=logger)
    reward = (random.random(n) < means[arm]) + offset
    model = means + random.normal(0, 0.05, 10) + offset
    columns = {
        "reward": reward,
        "propensity": logger[arm],
        "e": target[arm],
        "q": model[arm],
        "v": model @ target + random.normal(0, 0.05, n),
        "support": np.ones(n),
        "inclusion_probability": np.ones(n),
    }
    return columns | {name: np.broadcast_to(value, n) for name, value in changes.items()}


LIMITS = Limits(clipped_dr=(5.0,), sub_gaussian_dr=(0.1,))
NO_LIMITS = Limits((), (), (), ())
"""Only the estimators that have none."""


def scan(columns: dict[str, object], centre: float = 0.3, limits: Limits = LIMITS) -> Sums:
    """The sums of such columns, by SQL."""
    with duckdb.connect() as connection:
        connection.register("rows", pa.table(columns))
        return partial(connection, "rows", centre, plan_of(estimators(limits)))


def in_memory(columns: dict[str, np.ndarray], limits: Limits = LIMITS) -> Sums:
    """The sums of such columns, by numpy."""
    plain = [columns[name] for name in ("reward", "propensity", "e", "q", "v")]
    return sums_of_rows(*plain, plan_of(estimators(limits)).shrunk)


def values(sums: Sums, limits: Limits = LIMITS) -> dict[str, tuple[float, float]]:
    """Estimator to value and standard error."""
    fits = {one.name: one.fit(sums) for one in (ON_POLICY, *estimators(limits))}
    return {name: (fit.value, standard_error(sums, fit)) for name, fit in fits.items()}
