"""One challenger against the champion: sums over what was logged since they met, and what they say."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from msgspec import Struct, field

from policy_learner.promotion.gains import gains
from policy_learner.promotion.heard import Heard
from sidecar.contracts.contests import Contest, Verdict
from sidecar.contracts.promotion import PromotionConfig
from sidecar.policy.evidence import Floats, Sums, log_evidence, lower_bound

_SOONEST = 16
"""A lap that speaks against the challenger may be over after that part of it."""


class Span(NamedTuple):
    """Between what a decision earns at least and at most: evidence is counted in units of it."""

    lowest: float
    highest: float

    @property
    def width(self) -> float:
        """Above 0."""
        return self.highest - self.lowest

    def shares_of(self, rewards: Floats) -> Floats:
        """Rewards as shares of the way from lowest to highest; what is beyond is cut."""
        shares: Floats = np.clip((rewards - self.lowest) / self.width, 0.0, 1.0)
        return shares


class Tally(Struct):
    """Sums over some decisions. ``w`` is the challenger's pmf / propensity at the shown arm."""

    gain: Sums = field(default_factory=Sums)
    """Challenger less champion."""
    loss: Sums = field(default_factory=Sums)
    """Champion less challenger: the other side of the interval."""
    control: Sums = field(default_factory=Sums)
    """Drawing evenly less challenger."""
    w: float = 0.0
    ww: float = 0.0
    champion: float = 0.0
    """Value of the champion, each reward less the baseline and that added."""
    challenger: float = 0.0


class Laps(Struct):
    """A contest: all of it, and its latest lap.

    A long past must not hide what has turned, so a new lap begins after a while, and sooner where a lap
    speaks against the challenger. It may begin whenever it wants: the whole may be wrong with a chance of
    half the error, the k-th lap, from the second on, with one of ``error / 2 / (k (k - 1))``; together that
    is the error.
    """

    whole: Tally = field(default_factory=Tally)
    lap: Tally = field(default_factory=Tally)
    number: int = 1


def count(laps: Laps, decisions: Heard, ours: int, theirs: int, span: Span, lap: int) -> None:
    """Count decisions that both models scored.

    Args:
        laps: the contest.
        decisions: that were heard.
        ours: place of the challenger among their voices.
        theirs: of the champion.
        span: of the rewards.
        lap: decisions of a lap, at most.
    """
    rewards, whole = span.shares_of(decisions.rewards), laps.whole
    known = whole.gain.count
    baseline = whole.champion / known if known else 0.0
    part = _tally(decisions, ours, theirs, rewards, min(max(baseline, 0.0), 1.0))
    if _is_over(laps.lap, lap):
        laps.lap, laps.number = Tally(), laps.number + 1
    for total in (laps.whole, laps.lap):
        add(total, part)


def _is_over(tally: Tally, lap: int) -> bool:
    run = tally.gain.count
    return run >= lap or (run >= lap // _SOONEST and log_evidence(tally.gain) < 0.0)


def _tally(decisions: Heard, ours: int, theirs: int, rewards: Floats, baseline: float) -> Tally:
    pmf, other, chances, shown = (
        decisions.pmfs[ours],
        decisions.pmfs[theirs],
        decisions.chances,
        decisions.shown,
    )
    even = np.full_like(chances, 1.0 / chances.shape[1])
    rows, tally = np.arange(len(shown)), Tally()
    pairs = (tally.gain, pmf, other), (tally.loss, other, pmf), (tally.control, even, pmf)
    for sums, one, against in pairs:
        sums.add(gains(one, against, chances, shown, rewards, baseline))
    at_shown = chances[rows, shown]
    w, v = pmf[rows, shown] / at_shown, other[rows, shown] / at_shown
    tally.w, tally.ww = float(w.sum()), float((w * w).sum())
    tally.challenger = float((baseline + w * (rewards - baseline)).sum())
    tally.champion = float((baseline + v * (rewards - baseline)).sum())
    return tally


def add(total: Tally, part: Tally) -> None:
    """Make ``total`` the tally of both."""
    for sums, more in ((total.gain, part.gain), (total.loss, part.loss), (total.control, part.control)):
        sums.merge(more)
    for name in ("w", "ww", "champion", "challenger"):
        setattr(total, name, getattr(total, name) + getattr(part, name))


def standing(
    laps: Laps, names: tuple[str, str], config: PromotionConfig, span: Span, rivals: int = 1
) -> Contest:
    """How the contest stands: by the latest lap if that is certain, else by the whole.

    Args:
        laps: the contest.
        names: of champion and challenger.
        config: how sure one wants to be.
        span: of the rewards.
        rivals: challengers that share the error, this one among them: together they are wrong no oftener.
    """
    half = config.error / 2 / rivals
    if laps.number > 1:
        in_lap = half / (laps.number * (laps.number - 1))
        margin, needed = config.margin / span.width, -math.log(in_lap)
        if max(log_evidence(laps.lap.gain, margin), log_evidence(laps.lap.loss)) >= needed:
            since = laps.whole.gain.count - laps.lap.gain.count
            return _contest(laps.lap, names, config, span, in_lap, since, laps.number)
    return _contest(laps.whole, names, config, span, half, 0, laps.number)


def _contest(
    tally: Tally,
    names: tuple[str, str],
    config: PromotionConfig,
    span: Span,
    error: float,
    since: int,
    laps: int,
) -> Contest:
    n = max(tally.gain.count, 1)
    lower, upper = lower_bound(tally.gain, error), -lower_bound(tally.loss, error)
    control_upper = -lower_bound(tally.control, config.error / 2)
    effective = tally.w**2 / tally.ww if tally.ww else 0.0
    return Contest(
        champion=names[0],
        challenger=names[1],
        verdict=_verdict(lower - config.margin / span.width, upper, control_upper, effective, config),
        decisions=tally.gain.count,
        effective=effective,
        champion_value=span.lowest + span.width * tally.champion / n,
        challenger_value=span.lowest + span.width * tally.challenger / n,
        difference=span.width * (tally.challenger - tally.champion) / n,
        lower=span.width * lower,
        upper=span.width * upper,
        error=error,
        control_upper=span.width * control_upper,
        since_decisions=since,
        laps=laps,
    )


def _verdict(
    lower: float, upper: float, control_upper: float, effective: float, config: PromotionConfig
) -> Verdict:
    if upper < 0.0:
        return "worse"
    if lower <= 0.0:
        return "undecided"
    if control_upper < 0.0:
        return "contradicted"
    return "better" if effective >= config.least_effective else "too few"
