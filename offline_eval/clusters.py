"""Sums by cluster: rows of one user are not independent, and an interval that thinks so is too narrow.

A cluster is a unit of randomisation, or a bucket of units (``unit_bucket``, 1,024 of them): buckets are few
enough to hold, and what is true of independent units is true of their buckets. The table of a bucket each is
mergeable, is resampled by the bootstrap, and yields the cluster-robust products of every estimator at once.

Colin Cameron, Douglas Miller: A Practitioner's Guide to Cluster-Robust Inference, 2015.
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from dataclasses import dataclass, replace

import duckdb
import numpy as np

from offline_eval.errors import BadSums
from offline_eval.estimators.base import Fit, standard_error
from offline_eval.sums import Sums, recentring
from offline_eval.term_sql import Shape, identifier, rows_sql, shape_of
from offline_eval.terms import ONE, Floats, Plan

BUCKETS = 1024
"""Of ``unit_bucket``."""
LEAST_CLUSTERS = 100
"""Fewer say too little about an error to be held against the plain one."""


@dataclass(frozen=True, eq=False)
class Buckets:
    """Sums of terms by bucket of units."""

    centre: float
    first: Floats
    """(BUCKETS, k) sums of s·y."""

    @property
    def filled(self) -> int:
        """Buckets with rows."""
        return int(np.count_nonzero(self.first[:, ONE]))


def bucket_sums(
    connection: duckdb.DuckDBPyConnection, relation: str, centre: float, plan: Plan | None = None
) -> Buckets:
    """One scan with 1,024 groups, by the column ``unit_bucket``; plain at first, as in ``scan.py``.

    Rows that break a rule are left out, as ``scan.partial`` counts them.
    """
    shape = shape_of(connection, relation, centre, plan or Plan(), by=(("unit_bucket",),))
    total = int(connection.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0])
    found = _bucket_table(connection, relation, shape)
    if found[:, ONE].sum() != total or not np.isfinite(found).all():
        found = _bucket_table(connection, relation, shape._replace(is_plain=False))
    return Buckets(centre, found)


def _bucket_table(connection: duckdb.DuckDBPyConnection, relation: str, shape: Shape) -> Floats:
    """(BUCKETS, k) sums of the rows that count."""
    table = np.zeros((BUCKETS, len(shape.plan.names)))
    for bucket, *sums in connection.execute(_by_cluster(relation, shape)).fetchall():
        table[int(bucket)] = sums
    return table


def combine_buckets(parts: list[Buckets]) -> Buckets:
    """The buckets of all parts together.

    Raises:
        BadSums: no parts, or parts centred by different constants.
    """
    if len({part.centre for part in parts}) != 1:
        raise BadSums("buckets are combined of parts that were centred by one constant")
    return Buckets(parts[0].centre, np.sum([part.first for part in parts], axis=0))


def clustered(sums: Sums, buckets: Buckets) -> Sums:
    """The same sums with products by bucket: errors and intervals from them are cluster-robust.

    Raises:
        BadSums: the buckets were not made of the same terms.
    """
    if buckets.first.shape[1] != len(sums.first):
        raise BadSums("buckets and sums have different terms: make both by one plan")
    first = buckets.first @ recentring(replace(sums, centre=buckets.centre), sums.centre).T
    return _with_clusters(sums, first.T @ first, buckets.filled)


def clustered_by(
    connection: duckdb.DuckDBPyConnection, relation: str, sums: Sums, key: str, plan: Plan | None = None
) -> Sums:
    """The same sums with products by the values of a column, such as ``unit_id``, made inside the engine.

    Exact where buckets would be few; a group for every unit takes memory.
    """
    plan = plan or Plan(sums.shrunk)
    shape = shape_of(connection, relation, sums.centre, plan, by=((key,),))._replace(is_plain=False)
    by_cluster = _by_cluster(relation, shape)
    k = len(plan.names)
    pairs = [(i, j) for i in range(k) for j in range(i, k)]
    products = ", ".join(f"sum(t{i} * t{j})" for i, j in pairs)
    clusters, *values = connection.execute(f"SELECT count(*), {products} FROM ({by_cluster})").fetchall()[0]
    second = np.zeros((k, k))
    for (i, j), value in zip(pairs, values, strict=True):
        second[i, j] = second[j, i] = value or 0.0
    return _with_clusters(sums, second, int(clusters))


def widening(sums: Sums, buckets: Buckets, fit: Fit) -> float | None:
    """How many times as large the error by unit is as the plain one; None where there is none to compare."""
    plain = standard_error(sums, fit)
    if buckets.filled < LEAST_CLUSTERS or not plain > 0.0:
        return None
    return standard_error(clustered(sums, buckets), fit) / plain


def _by_cluster(relation: str, shape: Shape) -> str:
    """A row for every value of the shape's one key: the value, and its sums of terms."""
    places = range(1, len(shape.plan.names))
    terms = ["count(*)" if shape.is_plain else "sum(s)", *(f"sum({shape.term(one, '')})" for one in places)]
    named = ", ".join(f"{sql} AS t{place}" for place, sql in enumerate(terms))
    return f"SELECT k0 AS {identifier(shape.keys[0])}, {named} FROM ({rows_sql(relation, shape)}) GROUP BY k0"


def _with_clusters(sums: Sums, second: Floats, clusters: int) -> Sums:
    """Independent are the clusters now: with fewer than two there is no error to be had."""
    factor = clusters / (clusters - 1) if clusters > 1 else np.inf
    # A mean's own correction, by rows, comes on top and is next to nothing.
    return replace(sums, second=second * factor if clusters > 1 else np.full_like(second, np.inf))
