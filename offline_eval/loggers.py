"""Several loggers in one log: each row has the propensity that its own logger had, and that is right already.

Where one of them rarely showed what the target would show, its few heavy weights spoil the pool. Two better
answers: weigh the loggers' estimates by how sure each is, or, where every logger's probability of every row
is known, divide by the probability that any of them would have shown it.

Aman Agarwal, Soumya Basu, Tobias Schnabel, Thorsten Joachims: Effective Evaluation using Logged Bandit
Feedback from Multiple Loggers, 2017.
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import duckdb

from offline_eval.errors import BadLog
from offline_eval.estimators.base import Estimator, standard_error
from offline_eval.sums import Sums
from offline_eval.term_sql import identifier

_NOTHING = 1e-9  # a variance beside another that is rounding only


class Weighted(NamedTuple):
    """The estimates of several loggers in one."""

    value: float
    standard_error: float
    shares: dict[str, float]
    """Logger to the weight of its estimate."""


def weighted(by_logger: Mapping[str, Sums], estimator: Estimator) -> Weighted:
    """Each logger's estimate by its inverse variance.

    A logger whose rows all say the same has no variance, and would take all the weight; its rows are weighed
    as the noisiest logger's. Loggers without an error (one row, no overlap) say nothing.

    Args:
        by_logger: logger to sums, such as of ``scan.partials`` by the column ``policy``.
        estimator: asked of each.
    """
    fits = {
        name: estimator.fit(sums) for name, sums in by_logger.items() if sums.rows > 1 and sums.weight > 0
    }
    errors = {name: standard_error(by_logger[name], fit) for name, fit in fits.items()}
    by_row = {name: errors[name] ** 2 * by_logger[name].total for name in fits}
    most = max(by_row.values(), default=0.0)
    if not most > 0.0:
        return _alike(by_logger, {name: fit.value for name, fit in fits.items()})
    sure = {name: most if one < _NOTHING * most else one for name, one in by_row.items()}
    variances = {name: one / by_logger[name].total for name, one in sure.items()}
    whole = sum(1 / one for one in variances.values())
    shares = {name: 1 / one / whole for name, one in variances.items()}
    value = sum(share * fits[name].value for name, share in shares.items())
    return Weighted(value, math.sqrt(1 / whole), shares)


def balanced(
    connection: duckdb.DuckDBPyConnection, relation: str, logger: str, probabilities: Mapping[str, str]
) -> str:
    """A relation whose propensity is that of the mixture of all loggers, by how many rows each has.

    Args:
        connection: where ``relation`` can be read.
        relation: what stands after FROM.
        logger: column that names a row's logger.
        probabilities: logger to the column with its probability of the arm that was shown, on every row.

    Returns:
        What stands after FROM; a row has weight e over the sum of share times probability.

    Raises:
        BadLog: a logger of the log has no column of probabilities.
    """
    counts = connection.execute(
        f"SELECT CAST({identifier(logger)} AS VARCHAR), count(*) FROM {relation} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    if unknown := [name for name, _ in counts if name not in probabilities]:
        raise BadLog(f"balanced weights need every logger's probabilities: {unknown[0]!r} has none")
    rows = sum(count for _, count in counts)
    mixture = " + ".join(
        f"{count / rows!r}::DOUBLE * CAST({identifier(probabilities[name])} AS DOUBLE)"
        for name, count in counts
    )
    return f"(SELECT * REPLACE ({mixture or 'propensity'} AS propensity) FROM {relation})"


def _alike(by_logger: Mapping[str, Sums], values: Mapping[str, float]) -> Weighted:
    """No logger has an error: by rows."""
    rows = sum(by_logger[name].total for name in values)
    shares = {name: by_logger[name].total / rows for name in values}
    value = sum(share * values[name] for name, share in shares.items()) if values else math.nan
    exact = bool(values) and all(by_logger[name].rows > 1 for name in values)
    return Weighted(value, 0.0 if exact else math.inf, shares)
