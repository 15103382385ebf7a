"""From sums to numbers that may be said aloud: each with its interval, or withheld with a reason."""

from __future__ import annotations

import math

import numpy as np

from offline_eval.clusters import Buckets, widening
from offline_eval.diagnostics import Check, Gates, effective_rows, weight_checks
from offline_eval.estimators import ON_POLICY, Estimator, Limits, estimators
from offline_eval.estimators.base import Fit, difference, interval, standard_error
from offline_eval.estimators.clipped_ips import clipped_mass
from offline_eval.estimators.replay import has_one_propensity
from offline_eval.results import CandidateResult, Estimate, Point, Value
from offline_eval.sums import Sums
from offline_eval.terms import WEIGHT

HEADLINES = ("dr", "snips", "dm")
"""What a verdict reads, the first that is not withheld. Fixed beforehand: choosing the best would flatter."""

_OF_WEIGHTS = frozenset({"overlap", "ess", "exploration", "chance"})
"""What stops only estimates that divide by propensities: a reward model can still answer."""

_UNREMARKABLE = {"defects": 0.0, "repeated": 0.0, "matured": 1.0}
"""Check to the value that need not be mentioned."""

SAME = "this is the logger itself: it gives every shown arm the logged probability"
_SAME_TOLERANCE = 1e-18  # of a mean square: weights within 1e-9 of 1, which is rounding


def is_logger(sums: Sums) -> bool:
    """Every weight is 1. What is left of a difference is then the reward model's noise, and no finding."""
    return sums.rows > 0 and float(sums.second[WEIGHT, WEIGHT]) <= _SAME_TOLERANCE * sums.total


def judge(
    candidate: str,
    sums: Sums,
    population: str,
    level: float,
    gates: Gates,
    limits: Limits | None = None,
    of_log: tuple[Check, ...] = (),
    buckets: Buckets | None = None,
    curve: Limits | None = None,
    rewards: tuple[float, float] | None = None,
) -> CandidateResult:
    """Everything there is to say about one candidate.

    Args:
        candidate: its name.
        sums: of its rows.
        population: status of these rows.
        level: coverage of intervals.
        gates: from where on a number is doubted.
        limits: of shrunk estimators.
        of_log: what was found of the log.
        buckets: the same rows by unit, for the error that knows of users.
        curve: limits of the curve; None: none.
        rewards: smallest and largest of the log, if known.
    """
    limits = limits or Limits()
    checks = (*_checks(sums, population, gates, rewards), *_doubts(of_log))
    summed = [one for one in estimators(limits) if one.shrunk is None or one.shrunk in sums.shrunk]
    estimates = tuple(estimate_one(one, sums, checks, level) for one in summed)
    said = {one.estimator: one for one in estimates if one.value is not None}
    headline = next((name for name in HEADLINES if name in said), "")
    checks += _of_units(sums, buckets, [one for one in summed if one.name == headline], gates)
    return CandidateResult(
        candidate=candidate,
        rows=sums.rows,
        effective_rows=effective_rows(sums),
        max_weight=sums.max_weight,
        clipped_mass={
            one.name: clipped_mass(sums, one.shrunk)
            for one in summed
            if one.shrunk and one.shrunk.kind == "clip" and one.shrunk.of == "reward"
        },
        rejected=sums.rejected,
        on_policy=estimate_one(ON_POLICY, sums, checks, level),
        estimates=estimates,
        checks=checks,
        headline=headline,
        verdict=_sentence(said.get(headline), sums, _texts(checks), level) + _noted(of_log),
        curve=_curve(sums, checks, level, curve) if curve else (),
    )


def _sentence(headline: Estimate | None, sums: Sums, doubts: list[str], level: float) -> str:
    if headline is None or not is_logger(sums):
        return found_better(headline, "the logger", doubts, level)
    return f"amber: {SAME}, but {'; '.join(doubts)}" if doubts else f"green: {SAME}"


def _noted(of_log: tuple[Check, ...]) -> str:
    """What was left out and raises no doubt is still said: a number is not silent about its rows."""
    texts = [
        check.text
        for check in of_log
        if check.level == "ok" and check.name in _UNREMARKABLE and check.value != _UNREMARKABLE[check.name]
    ]
    return "".join(f"; {text}" for text in texts)


def _curve(sums: Sums, checks: tuple[Check, ...], level: float, limits: Limits) -> tuple[Point, ...]:
    bent = [one for one in estimators(limits) if one.shrunk in sums.shrunk]
    return tuple(
        [Point(one.shrunk.limit, estimate_one(one, sums, checks, level)) for one in bent if one.shrunk]
    )


def estimate_one(estimator: Estimator, sums: Sums, checks: tuple[Check, ...], level: float) -> Estimate:
    """One estimator's answer, or why there is none."""
    reason = _reason_to_withhold(estimator, sums, checks)
    if reason:
        return Estimate(estimator.name, None, None, reason)
    with np.errstate(invalid="ignore", over="ignore"):  # sums that overflowed are found out below
        fit = estimator.fit(sums)
        value, paired = _value(fit, sums, level), _value(difference(fit, ON_POLICY.fit(sums)), sums, level)
    if not (math.isfinite(value.low) and math.isfinite(value.high)):
        return Estimate(estimator.name, None, None, "sums overflowed, or one row alone has no interval")
    return Estimate(estimator.name, value, paired)


def _checks(
    sums: Sums, population: str, gates: Gates, rewards: tuple[float, float] | None
) -> tuple[Check, ...]:
    if population == "deterministic":
        text = "every propensity is 1 by construction: nothing to weight by; only a model can answer"
        return (Check("exploration", "stop", 0.0, text),)
    return weight_checks(sums, gates, rewards)


def _of_units(
    sums: Sums, buckets: Buckets | None, headline: list[Estimator], gates: Gates
) -> tuple[Check, ...]:
    """Whether rows of one unit depend on each other, so that intervals are too narrow."""
    ratio = widening(sums, buckets, headline[0].fit(sums)) if buckets and headline else None
    if ratio is None or not math.isfinite(ratio):
        return ()
    text = f"by unit, the interval of {headline[0].name} is {ratio:.2f} times as wide"
    return (Check("units", "caution" if ratio > gates.most_widening else "ok", ratio, text),)


def _doubts(of_log: tuple[Check, ...]) -> tuple[Check, ...]:
    """What was found wrong with the log. That no row counts is said by the estimates themselves."""
    return tuple(check for check in of_log if check.level != "ok" and check.name != "rows")


def _reason_to_withhold(estimator: Estimator, sums: Sums, checks: tuple[Check, ...]) -> str:
    if not sums.rows:
        return "no row counts"
    stops = [check for check in checks if check.level == "stop"]
    if unsound := [check.text for check in stops if check.name not in _OF_WEIGHTS]:
        return "; ".join(unsound)
    if estimator.needs_model and sums.without_model:
        return f"the candidate's probabilities of other arms are not known in {sums.without_model:,} rows"
    if estimator.needs_one_propensity and not has_one_propensity(sums):
        return "replay needs a logger that drew every arm alike"
    if estimator.needs_weights:
        return "; ".join(check.text for check in stops)
    return ""


def _value(fit: Fit, sums: Sums, level: float) -> Value:
    error = standard_error(sums, fit)
    low, high = interval(fit.value, error, level)
    return Value(fit.value, low, high, error)


def _texts(checks: tuple[Check, ...]) -> list[str]:
    return [check.text for check in checks if check.level != "ok"]


def found_better(headline: Estimate | None, than: str, doubts: list[str], level: float) -> str:
    """Red without a number, amber with doubts, green without; and what the difference shows."""
    if headline is None or headline.difference is None:
        return "red: no number; " + ("; ".join(doubts) or "no row counts")
    shown = headline.difference
    finding = (
        f"better than {than}" if shown.low > 0
        else f"worse than {than}" if shown.high < 0
        else f"not shown to differ from {than}"
    )  # fmt: skip
    bounds = f"{level:.0%} [{shown.low:+.4g}, {shown.high:+.4g}]"
    sentence = f"{finding} ({headline.estimator} {shown.value:+.4g}, {bounds})"
    return f"amber: {sentence}, but {'; '.join(doubts)}" if doubts else f"green: {sentence}"
