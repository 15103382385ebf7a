"""What an evaluation says: frozen structures, the same for terminal, JSON, HTML and notebooks."""

from __future__ import annotations

from msgspec import Struct

from offline_eval.calibration import CalibrationBin
from offline_eval.diagnostics import Check, LogSummary
from offline_eval.histogram import Bin


class Value(Struct, frozen=True):
    """A number that never stands alone."""

    value: float
    low: float
    high: float
    standard_error: float


class Estimate(Struct, frozen=True):
    """One estimator's answer, or why there is none."""

    estimator: str
    value: Value | None
    """Mean reward per decision under the candidate; None when withheld."""
    difference: Value | None
    """That less the logger's own on the same rows, paired."""
    withheld: str = ""
    """Why there is no number."""


class Point(Struct, frozen=True):
    """One point of a curve over limits."""

    limit: float
    estimate: Estimate


class CandidateResult(Struct, frozen=True):
    """One target policy."""

    candidate: str
    rows: int
    """Rows that were scored and count."""
    effective_rows: float
    max_weight: float
    clipped_mass: dict[str, float]
    """Clipped estimator to the share of weight that its limit cuts off."""
    rejected: dict[str, int]
    """Reason to rows that could not be scored."""
    on_policy: Estimate
    """What the logger earned on these rows."""
    estimates: tuple[Estimate, ...]
    checks: tuple[Check, ...]
    headline: str
    """The estimator that the verdict reads: dr, else snips, else dm; empty when all are withheld."""
    verdict: str
    """One sentence."""
    weights: tuple[Bin, ...] = ()
    """Histogram of e/p."""
    curve: tuple[Point, ...] = ()
    """Clipped IPS and DRos at many limits: where a curve is steep, the limit makes the number."""
    unscored: tuple[str, ...] = ()
    """The first decisions that could not be scored, by their ids."""


class GroupResult(Struct, frozen=True):
    """The target policies on the rows of one group."""

    group: str
    """Values of what rows are grouped by, those of several keys with a unit separator between them."""
    candidates: tuple[CandidateResult, ...]


class Versus(Struct, frozen=True):
    """One candidate against another, on the rows that both can use."""

    candidate: str
    against: str
    rows: int
    estimates: tuple[Estimate, ...]
    """Each with the difference of the two, paired, in ``difference``."""
    verdict: str
    """One sentence."""


class Evaluation(Struct, frozen=True):
    """Everything."""

    log: LogSummary
    checks: tuple[Check, ...]
    """Of the log."""
    level: float
    """Coverage of every interval, such as 0.95."""
    candidates: tuple[CandidateResult, ...]
    scan: str
    """The SQL that the sums come from, for audit."""
    by: tuple[str, ...] = ()
    """What ``groups`` are of."""
    groups: tuple[GroupResult, ...] = ()
    """The same estimates group by group, if that was asked for. Each interval is for itself: among twenty of
    them one is wrong, at 95 %."""
    versus: tuple[Versus, ...] = ()
    """Candidates against the one that was named, if one was."""
    days: tuple[GroupResult, ...] = ()
    """Day by day, where there are several."""
    segments: tuple[GroupResult, ...] = ()
    """Segment by segment, where there are several."""
    calibration: tuple[CalibrationBin, ...] = ()
    """Of the reward model, on the rows that it was not fitted on."""
    fingerprint: str = ""
    """Hash of the log's files, the window, the candidates and the options (``offline_eval.fingerprint``)."""
