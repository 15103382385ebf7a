"""Live figures of the shop's traffic: speed, latency, and what it earns against its own control group.

The control group is not a flag on an answer: every decision has some chance of having been drawn uniformly,
and its logged probability says how much. So the baseline is the inverse-propensity estimate of the uniform
policy over *all* decisions, self-normalised, with the delta method's interval (Hesterberg: Weighted Average
Importance Sampling and Defensive Mixture Distributions, 1995). The uniform policy does not change, so all
decisions count; the model's rate does change, so only recent ones do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

RECENT = 2_000
"""Decisions of which the model's rate and the latencies are taken."""
SPEED_WINDOW_S = 2.0
Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Rate:
    """A mean with the half width of its 95 % interval; both NaN when there is nothing to tell from."""

    mean: float
    half: float

    def __str__(self) -> str:
        return "–" if math.isnan(self.mean) else f"{self.mean:.3f} ± {self.half:.3f}"


@dataclass(slots=True)
class Decided:
    """One decision as its client saw it."""

    number: int
    arm: str
    probability: float
    source: str
    model_version: int
    at_s: float
    latency_s: float
    rewarded: bool = False
    """A purchase was accepted within the horizon."""
    decision_id: str = ""


@dataclass(slots=True)
class Tally:
    """All that the traffic saw, in the order of the answers."""

    n_arms: int
    horizon_s: float
    decided: list[Decided] = field(default_factory=list)
    failed: Counter[int] = field(default_factory=Counter)
    """HTTP statuses other than 201."""
    receipts: Counter[str] = field(default_factory=Counter)
    """What became of the rewards."""

    def matured(self, now_s: float) -> list[Decided]:
        """Decisions whose horizon is over (half a second of grace for the news to arrive)."""
        return [one for one in self.decided if one.at_s + self.horizon_s + 0.5 < now_s]


@dataclass(frozen=True, slots=True)
class Figures:
    """What is shown."""

    sessions: int
    per_second: float
    p50_ms: float
    p99_ms: float
    model: Rate
    """Purchases a session of recent decisions by the model."""
    control: Rate
    """Purchases a session if every product were shown equally often."""
    fallbacks: int
    model_version: int


def figures_of(tally: Tally, now_s: float) -> Figures:
    """The figures at ``now_s``, on the clock of ``at_s``."""
    lately = _lately(tally.decided, now_s - SPEED_WINDOW_S)
    latencies = sorted(one.latency_s for one in tally.decided[-RECENT:])
    matured = tally.matured(now_s)
    return Figures(
        sessions=len(tally.decided),
        per_second=lately / SPEED_WINDOW_S,
        p50_ms=1000 * quantile(latencies, 0.5),
        p99_ms=1000 * quantile(latencies, 0.99),
        model=mean_rate([one.rewarded for one in matured[-RECENT:]]),
        control=uniform_rate(matured, tally.n_arms),
        fallbacks=sum(1 for one in tally.decided if one.source != "model"),
        model_version=max((one.model_version for one in tally.decided[-50:]), default=0),
    )


def mean_rate(rewarded: Sequence[bool]) -> Rate:
    """The plain mean with its normal interval."""
    n = len(rewarded)
    if n < 2:
        return Rate(math.nan, math.nan)
    mean = sum(rewarded) / n
    return Rate(mean, Z95 * math.sqrt(mean * (1.0 - mean) / (n - 1)))


def uniform_rate(decided: Iterable[Decided], n_arms: int) -> Rate:
    """What the uniform policy would have earned: self-normalised inverse-propensity estimate.

    >>> one = Decided(0, "a", 0.5, "model", 1, 0.0, 0.0, rewarded=True)
    >>> two = Decided(1, "b", 0.5, "model", 1, 0.0, 0.0)
    >>> uniform_rate([one, two], n_arms=2).mean
    0.5
    """
    pairs = [(1.0 / (n_arms * one.probability), float(one.rewarded)) for one in decided]
    total = math.fsum(weight for weight, _ in pairs)
    if len(pairs) < 2 or total <= 0.0:
        return Rate(math.nan, math.nan)
    mean = math.fsum(weight * reward for weight, reward in pairs) / total
    variance = math.fsum((weight * (reward - mean)) ** 2 for weight, reward in pairs)
    return Rate(mean, Z95 * math.sqrt(variance) / total)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of an ordered sample lies; NaN when it is empty.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    3.0
    """
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else math.nan


def _lately(decided: Sequence[Decided], since_s: float) -> int:
    """How many of the newest were answered after ``since_s``."""
    return sum(1 for _ in takewhile(lambda one: one.at_s >= since_s, reversed(decided)))
