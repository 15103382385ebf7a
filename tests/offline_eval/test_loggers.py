"""Several loggers in one log: each its own, weighed by how sure it is, or balanced over all."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from offline_eval.errors import BadLog
from offline_eval.estimators import estimators
from offline_eval.estimators.base import plan_of, standard_error
from offline_eval.loggers import balanced, weighted
from offline_eval.scan import partial, partials
from tests.offline_eval.scored import LIMITS

PLAN = plan_of(estimators(LIMITS))
TARGET = np.array([0.7, 0.2, 0.1])
MEANS = np.array([0.6, 0.3, 0.1])
LOGGERS = {"near": np.array([0.6, 0.3, 0.1]), "far": np.array([0.02, 0.18, 0.8])}


def two_loggers(n: int, seed: int) -> pa.Table:
    """Half the rows of a logger that is like the target, half of one that hardly ever is."""
    random = np.random.default_rng(seed)
    parts = []
    for name, pmf in LOGGERS.items():
        arm = random.choice(3, n // 2, p=pmf)
        model = MEANS + 0.05
        columns = {
            "policy": np.full(n // 2, name),
            "reward": (random.random(n // 2) < MEANS[arm]).astype(float),
            "propensity": pmf[arm],
            "e": TARGET[arm],
            "q": model[arm],
            "v": np.full(n // 2, model @ TARGET),
        }
        parts.append(pa.table(columns | {f"p_{other}": LOGGERS[other][arm] for other in LOGGERS}))
    return pa.concat_tables(parts)


@pytest.fixture
def connection():
    with duckdb.connect() as made:
        yield made


def by_name(name: str):
    (found,) = (one for one in estimators(LIMITS) if one.name == name)
    return found


COLUMNS = {name: f"p_{name}" for name in LOGGERS}


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_both_answers_hold_the_truth_and_are_surer_than_the_pool(connection, name):
    """Within five standard errors of the truth, and with smaller ones than all rows as they are."""
    connection.register("rows", two_loggers(20_000, seed=1))
    estimator, truth = by_name(name), float(TARGET @ MEANS)
    pooled = partial(connection, "rows", 0.4, PLAN)
    pooled_error = standard_error(pooled, estimator.fit(pooled))

    groups = partials(connection, "rows", 0.4, PLAN, (("policy",),))
    mixed = weighted({group[0][1]: sums for group, sums in groups.items()}, estimator)
    sums = partial(connection, balanced(connection, "rows", "policy", COLUMNS), 0.4, PLAN)
    fit = estimator.fit(sums)

    assert abs(mixed.value - truth) < 5 * mixed.standard_error
    assert abs(fit.value - truth) < 5 * standard_error(sums, fit)
    assert mixed.standard_error < 0.7 * pooled_error
    assert standard_error(sums, fit) < 0.7 * pooled_error
    assert mixed.shares["near"] > 0.8


def test_balanced_weights_are_bounded_by_the_mixture(connection):
    """No weight exceeds e over half the nearer logger's probability."""
    connection.register("rows", two_loggers(2_000, seed=2))

    sums = partial(connection, balanced(connection, "rows", "policy", COLUMNS), 0.4, PLAN)

    assert partial(connection, "rows", 0.4, PLAN).max_weight == pytest.approx(35.0)
    assert sums.max_weight <= 0.7 / (0.5 * 0.6)


def test_one_logger_is_the_plain_estimate(connection):
    """Nothing to weigh and nothing to mix."""
    rows = two_loggers(1_000, seed=3).slice(0, 500)
    connection.register("rows", rows)
    sums, ips = partial(connection, "rows", 0.4, PLAN), by_name("ips")

    mixed = weighted({"near": sums}, ips)
    same = partial(connection, balanced(connection, "rows", "policy", COLUMNS), 0.4, PLAN)

    assert mixed.value == pytest.approx(ips.fit(sums).value)
    assert mixed.standard_error == pytest.approx(standard_error(sums, ips.fit(sums)))
    assert ips.fit(same).value == pytest.approx(ips.fit(sums).value)


def test_a_logger_without_variance_does_not_take_all_the_weight(connection):
    """Ten rows that are all alike say less than ten thousand that are not."""
    connection.register("rows", two_loggers(2_000, seed=4))
    alike = two_loggers(20, seed=4).slice(0, 10).set_column(1, "reward", pa.array([0.0] * 10))
    connection.register("alike", alike)
    snips = by_name("snips")

    many, few = (partial(connection, name, 0.4, PLAN) for name in ("rows", "alike"))
    found = weighted({"many": many, "alike": few}, snips)

    assert found.shares["alike"] < 0.05


def test_a_logger_whose_probabilities_are_not_known_is_named(connection):
    """Balanced weights need them all."""
    connection.register("rows", two_loggers(100, seed=5))

    with pytest.raises(BadLog, match="'far' has none"):
        balanced(connection, "rows", "policy", {"near": "p_near"})


def test_no_logger_at_all_says_nothing(connection):
    """No rows: no value, and an infinite error."""
    found = weighted({}, by_name("ips"))

    assert np.isnan(found.value)
    assert found.standard_error == np.inf
