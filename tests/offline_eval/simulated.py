"""Simulated logs whose truth is known, and how often intervals hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from offline_eval.clusters import BUCKETS, Buckets, clustered
from offline_eval.estimators import ON_POLICY, estimators
from offline_eval.estimators.base import Fit, difference
from offline_eval.intervals.bernstein import bernstein, span_of_doubly_robust, span_of_weighted
from offline_eval.intervals.bootstrap import bootstrap, resampled
from offline_eval.intervals.clopper_pearson import clopper_pearson
from offline_eval.intervals.normal import normal
from offline_eval.intervals.sequence import sequence
from offline_eval.sums import Sums, sums_of_rows
from offline_eval.terms import terms_of_rows
from tests.offline_eval.scored import NO_LIMITS

ARMS = 10
OFFSETS = (0.0, 1.0, 5.0)
"""Rewards are Bernoulli plus one of these: far from zero, IPS is noisy and self-normalised ones are not."""
_FITS = {one.name: one for one in (ON_POLICY, *estimators(NO_LIMITS)) if one.name != "replay"}


class World(NamedTuple):
    """Ten arms without context; a logger that is not uniform, and a target that is not the logger."""

    logger: np.ndarray
    target: np.ndarray
    means: np.ndarray
    offset: float

    @property
    def most_weight(self) -> float:
        """Known beforehand."""
        return float((self.target / self.logger).max())

    def truth(self, name: str) -> float:
        """What an estimator should find."""
        of_logger, of_target = self.logger @ self.means, self.target @ self.means
        return {"on_policy": of_logger, "snips - on_policy": of_target - of_logger}.get(name, of_target)


class Rows(NamedTuple):
    """A log."""

    reward: np.ndarray
    propensity: np.ndarray
    e: np.ndarray
    q: np.ndarray
    v: np.ndarray

    def sums(self) -> Sums:
        return sums_of_rows(*self, shrunk=())

    def terms(self, centre: float) -> np.ndarray:
        return terms_of_rows(self.reward, self.e / self.propensity, self.q, self.v, centre, ())


def world(offset: float) -> World:
    """The same one for every offset."""
    random = np.random.default_rng(11)
    logger = 0.8 * random.dirichlet(np.full(ARMS, 2.0)) + 0.2 / ARMS
    target = 0.8 * random.dirichlet(np.full(ARMS, 2.0)) + 0.2 / ARMS
    return World(logger, target, 0.2 + 0.6 * random.random(ARMS) + offset, offset)


def draw(one: World, n: int, random: np.random.Generator, rows_of_user: int = 1) -> Rows:
    """Rows of independent users; the rows of one user share their arm and their luck."""
    users = n // rows_of_user
    arm = np.repeat(random.choice(ARMS, users, p=one.logger), rows_of_user)
    luck = np.repeat(random.random(users), rows_of_user)
    own = random.random(n)
    uniform = np.where(random.random(n) < 0.5, luck, own) if rows_of_user > 1 else own
    reward = (uniform < one.means[arm] - one.offset) + one.offset
    model = one.means + 0.1
    return Rows(reward, one.logger[arm], one.target[arm], model[arm], np.full(n, model @ one.target))


def fits_of(sums: Sums) -> dict[str, Fit]:
    """Every estimate, and a paired difference."""
    fits = {name: estimator.fit(sums) for name, estimator in _FITS.items()}
    return fits | {"snips - on_policy": difference(fits["snips"], fits["on_policy"])}


def buckets_of(rows: Rows, centre: float, bucket: np.ndarray) -> Buckets:
    """Sums by bucket, in numpy."""
    first = np.zeros((BUCKETS, 6))
    np.add.at(first, bucket, rows.terms(centre).T)
    return Buckets(centre, first)


class Share(NamedTuple):
    """Over many logs."""

    covered: float
    width: float
    """Mean."""


Intervals = Mapping[str, tuple[float, float]]


def repeated(
    offset: float, replications: int, seed: int, intervals: Callable[[World, np.random.Generator], Intervals]
) -> dict[str, Share]:
    """How often each interval of many logs holds the truth; names are ``estimator`` or ``estimator/kind``."""
    one, random = world(offset), np.random.default_rng(seed)
    hits: dict[str, list[tuple[bool, float]]] = {}
    for _ in range(replications):
        for name, (low, high) in intervals(one, random).items():
            truth = one.truth(name.partition("/")[0])
            hits.setdefault(name, []).append((low <= truth <= high, high - low))
    return {name: Share(*np.mean(found, axis=0)) for name, found in hits.items()}


def independent(n: int, resamples: int = 0) -> Callable[[World, np.random.Generator], Intervals]:
    """Every interval on a log whose rows are independent."""

    def intervals(one: World, random: np.random.Generator) -> Intervals:
        rows = draw(one, n, random)
        sums = rows.sums()
        fits = fits_of(sums)
        found = {name: normal(sums, fit) for name, fit in fits.items()}
        by_bucket = dict(_by_bucket(rows, sums, fits, n // 5, resamples))
        return found | dict(_conservative(one, sums, fits)) | by_bucket

    return intervals


def by_user(
    users: int, rows_of_user: int, resamples: int = 0
) -> Callable[[World, np.random.Generator], Intervals]:
    """Intervals on a log of users with many rows each, a bucket each."""

    def intervals(one: World, random: np.random.Generator) -> Intervals:
        rows = draw(one, users * rows_of_user, random, rows_of_user)
        sums = rows.sums()
        fits = fits_of(sums)
        plain = {f"{name}/plain": normal(sums, fit) for name, fit in fits.items()}
        return plain | dict(_by_bucket(rows, sums, fits, users, resamples))

    return intervals


def looked_at(looks: int, rows_a_look: int) -> Callable[[World, np.random.Generator], Intervals]:
    """Of the intervals at all looks of a growing log the highest bottom and the lowest top: their section."""

    def intervals(one: World, random: np.random.Generator) -> Intervals:
        found: dict[str, list[tuple[float, float]]] = {}
        for sums in _growing(draw(one, looks * rows_a_look, random), looks):
            for name in ("ips", "snips", "dr"):
                fit = _FITS[name].fit(sums)
                found.setdefault(f"{name}/sequence", []).append(sequence(sums, fit, look_rows=2_000))
                found.setdefault(f"{name}/plain", []).append(normal(sums, fit))
        return {name: (max(b[0] for b in all_), min(b[1] for b in all_)) for name, all_ in found.items()}

    return intervals


def _growing(rows: Rows, looks: int) -> Iterator[Sums]:
    centre = float(rows.reward.mean())
    parts = np.stack(np.split(rows.terms(centre), looks, axis=1))
    first = parts.sum(axis=2).cumsum(axis=0)
    second = np.einsum("lin,ljn->lij", parts, parts).cumsum(axis=0)
    for look in range(looks):
        yield Sums(centre, int(first[look, 0]), first[look], second[look], shrunk=(), shrunk_weight=())


def _by_bucket(
    rows: Rows, sums: Sums, fits: Mapping[str, Fit], buckets: int, resamples: int
) -> Iterator[tuple[str, tuple[float, float]]]:
    n = len(rows.reward)
    bucket = np.arange(n) // (n // buckets)
    table = buckets_of(rows, sums.centre, bucket)
    by_bucket = clustered(sums, table)
    sampled = resampled(table, resamples, seed=int(1e6 * abs(sums.means[1]))) if resamples else None
    for name, fit in fits.items():
        yield f"{name}/cluster", normal(by_bucket, fit)
        if sampled is not None:
            yield f"{name}/bootstrap", bootstrap(fit, table, sampled)


def _conservative(
    one: World, sums: Sums, fits: Mapping[str, Fit]
) -> Iterator[tuple[str, tuple[float, float]]]:
    bounds = (one.most_weight, one.offset, one.offset + 1)
    yield "ips/bernstein", bernstein(sums, fits["ips"], span_of_weighted(*bounds))
    yield "dr/bernstein", bernstein(sums, fits["dr"], span_of_doubly_robust(*bounds))
    if not one.offset:
        yield "ips/clopper_pearson", clopper_pearson(sums, most_weight=one.most_weight)
