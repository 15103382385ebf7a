"""What the learner tells of its model: progressive metrics and the gate's verdicts. JSON in its status.

Evolution: new fields have defaults, nothing changes type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

Report = TypeVar("Report")


class WindowFigures(Struct, frozen=True, kw_only=True):
    """How well the model foresaw a window of examples before it learnt from them.

    Null: the window cannot tell. ``…_error`` is a standard error, in the unit of what stands before it.
    """

    examples: int = 0
    auc: float | None = None
    """Probability that an arm that earned was expected to earn more than one that did not; 0.5 is chance."""
    auc_within: float | None = None
    """The exact figure is at most so far from ``auc``, which is read from a histogram."""
    squared_error: float | None = None
    """Mean squared difference of expectation and reward."""
    log_loss: float | None = None
    """Mean, in nats; only where every reward of the window was 0 or 1."""
    reward: float | None = None
    """Mean reward of what was shown."""
    reward_error: float | None = None
    ips: float | None = None
    """What the policy being learnt would have earned, by inverse propensities: unbiased."""
    ips_error: float | None = None
    snips: float | None = None
    """The same, self-normalised: far less noise, a little bias."""
    snips_error: float | None = None


class Progressive(Struct, frozen=True, kw_only=True):
    """The windows."""

    by_count: WindowFigures = WindowFigures()
    """The latest 10,000 examples, give or take a tenth."""
    by_time: WindowFigures = WindowFigures()
    """The latest ten minutes of the stream's clock."""


class Difference(Struct, frozen=True):
    """Candidate minus reference, on the same examples."""

    value: float
    error: float
    """Half the width of the interval: the bound that was compared with the margin is ``value + error``."""
    margin: float
    """Refused when even the bound is below minus this; just after a refusal, when one standard error is."""
    examples: int


class Comparison(Struct, frozen=True):
    """The candidate beside one version that was published; a null difference could not be had."""

    against: str
    """``last good``, ``a window before`` or ``600 s before``."""
    version: int
    reward: Difference | None
    """Of the mean reward a decision."""
    auc: Difference | None


class Verdict(Struct, frozen=True):
    """Whether weights may be published, and the numbers that say so."""

    passed: bool
    reason: str
    """Why not; empty when they may."""
    not_finite: int
    """Weights that are NaN or infinite."""
    largest_weight: float | None
    """None where one is no number."""
    parity: float | None
    """Largest |sidecar − trainer| / (1 + Σ|w·x|) over the sample; 0 without a sample."""
    sample: int
    """Decisions on which the two were compared."""
    comparisons: tuple[Comparison, ...] = ()


class Judgement(Struct, frozen=True):
    """One event of the gate."""

    version: int
    """That the weights would have had, or have."""
    at_ms: int
    """The newest example in them was finalised then, by the store's clock."""
    examples: int
    verdict: Verdict


def encode(report: Struct | Sequence[Struct]) -> str:
    """As it stands in the status. What is not finite becomes null."""
    return msgspec.json.encode(report).decode()


def decode(text: str, kind: type[Report]) -> Report | None:
    """What :func:`encode` wrote; None where nothing was written, or something else."""
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except msgspec.MsgspecError:
        return None


def figure_text(value: float | None, error: float | None = None) -> str:
    """A figure with half its interval.

    >>> figure_text(0.12345, 0.01), figure_text(None)
    ('0.1235 ± 0.01', '–')
    """
    if value is None:
        return "–"
    return f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"
