"""May this log be evaluated, and may this estimate be believed? Asked before and after the estimates."""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

import math
from collections import Counter
from typing import Literal

from msgspec import Struct

from offline_eval.dataset import VIEW, Log
from offline_eval.estimators.base import mean_fit, standard_error
from offline_eval.pareto import pareto_k
from offline_eval.rejections import DEFECTS
from offline_eval.sums import Sums
from offline_eval.terms import WEIGHT, WEIGHTED

Level = Literal["ok", "caution", "stop"]
_MOST_NAMED = 3


class Gates(Struct, frozen=True):
    """From where on a number is doubted (caution) or withheld (stop)."""

    least_ess: float = 30.0
    """Stop below: fewer effective rows than this, and the normal interval means nothing."""
    low_ess_share: float = 0.05
    """Caution below this share of rows."""
    most_top_share: float = 0.1
    """Caution above: one row carries that share of all weight."""
    most_weight_z: float = 3.0
    """Caution above: the mean weight is that many standard errors from 1, where it belongs."""
    least_support: float = 0.99
    """Caution below: mass of the target on arms that the logger could take."""
    most_defects: float = 0.001
    """Stop above this share of defective rows: the log is not what it says it is."""
    least_matured: float = 0.99
    """Caution below this share of decisions with their reward."""
    least_chance: float = 1e-4
    """Caution where the log's own propensities would be so rarely so far off."""
    most_widening: float = 1.2
    """Caution above: intervals by unit are that many times as wide, for the rows of a user are alike."""
    most_pareto_k: float = 0.7
    """Caution above: the tail of the weights is so heavy that estimates do not settle."""


class Check(Struct, frozen=True):
    """One question, its answer in a sentence, and what follows."""

    name: str
    level: Level
    value: float | None
    text: str


class Logger(Struct, frozen=True):
    """Rows of one source, policy and model version."""

    source: str
    policy: str
    model_version: int
    rows: int
    mean_reward: float | None
    """Each row by 1/inclusion_probability."""


class LogSummary(Struct, frozen=True):
    """What is in the log, from one scan."""

    folder: str
    files: int
    rows: int
    counted: int
    """Rows that every estimate counts."""
    left_out: dict[str, int]
    """Reason to rows."""
    loggers: tuple[Logger, ...]
    first_decided_at: str | None
    last_decided_at: str | None
    mean_reward: float
    """Over the rows that count, each by 1/inclusion_probability; 0 without rows."""
    rewards: tuple[float, float] | None = None
    """Smallest and largest of the rows that count."""
    lost: dict[str, str] = {}
    """File that cannot be read to why: its rows are in none of the numbers."""


def summarise(log: Log) -> LogSummary:
    """Count rows by reason and by logger."""
    counts = _counts(log)
    totals = log.connection.execute(f"""
        SELECT min(decided_at)::VARCHAR, max(decided_at)::VARCHAR,
               fsum(CAST(reward AS DOUBLE) / inclusion_probability) FILTER (WHERE status = ''),
               fsum(1.0 / inclusion_probability) FILTER (WHERE status = ''),
               min(CAST(reward AS DOUBLE)) FILTER (WHERE status = ''),
               max(CAST(reward AS DOUBLE)) FILTER (WHERE status = '')
        FROM {VIEW}""").fetchall()[0]
    counted = counts.pop("", 0)
    return LogSummary(
        folder=log.folder.name,
        files=len(log.files),
        rows=counted + sum(counts.values()),
        counted=counted,
        left_out=counts,
        loggers=_loggers(log),
        first_decided_at=totals[0],
        last_decided_at=totals[1],
        mean_reward=_mean(totals[2], totals[3]),
        rewards=None if totals[4] is None else (float(totals[4]), float(totals[5])),
        lost={str(path.relative_to(log.folder)): lost.reason for path, lost in log.lost.items()},
    )


def log_checks(summary: LogSummary, gates: Gates) -> tuple[Check, ...]:
    """What is wrong with the log, before any policy is looked at."""
    repeated = summary.left_out.get("repeated", 0)
    bad = {reason: count for reason, count in summary.left_out.items() if reason in DEFECTS}
    defects = sum(bad.values()) - repeated
    share = defects / summary.rows if summary.rows else 0.0
    listed = "".join(f", {count:,} {reason}" for reason, count in bad.items() if reason != "repeated")
    versions = len({(one.policy, one.model_version) for one in summary.loggers})
    return (
        Check(
            "rows",
            "ok" if summary.counted else "stop",
            float(summary.counted),
            f"{summary.counted:,} of {summary.rows:,} rows count",
        ),
        Check(
            "defects",
            "stop" if share > gates.most_defects else "ok",
            share,
            f"{defects:,} rows are defective ({share:.2%}{listed})",
        ),
        Check(
            "repeated",
            _caution(repeated > gates.most_defects * summary.rows),
            float(repeated),
            f"{repeated:,} rows stand twice; the first of each counts",
        ),
        Check(
            "loggers",
            "ok",
            float(versions),
            f"logged by {versions} policy versions, each with the propensities that it had",
        ),
        *_lost_files(summary),
    )


def _lost_files(summary: LogSummary) -> list[Check]:
    """Files that cannot be read: nobody knows how many rows they held."""
    if not summary.lost:
        return []
    counts = Counter(summary.lost.values())
    listed = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    named = ", ".join(sorted(summary.lost)[:_MOST_NAMED]) + (", …" if len(summary.lost) > _MOST_NAMED else "")
    files = summary.files + len(summary.lost)
    text = (
        f"{len(summary.lost)} of {files} files cannot be read ({listed}: {named}), and their rows are missing"
    )
    return [Check("files", "caution", float(len(summary.lost)), text)]


def effective_rows(sums: Sums) -> float:
    """(sum w)² / sum w²: how many rows of equal weight would say as much.

    Leslie Kish: Survey Sampling, 1965.

    >>> from offline_eval.sums import sums_of_rows
    >>> effective_rows(sums_of_rows(reward=[1, 0], propensity=[0.5, 0.5], e=[0.5, 0.0]))
    1.0
    """
    return sums.weight**2 / sums.squared_weight if sums.weight > 0 else 0.0


def top_share(sums: Sums) -> float:
    """Share of all weight that the heaviest row carries."""
    return sums.max_mass / sums.weight if sums.weight > 0 else 0.0


def mean_weight_z(sums: Sums) -> float | None:
    """(mean w - 1) over its standard error: large when propensities or targets are wrong; None if unknown."""
    if sums.rows < 2:
        return None
    fit = mean_fit(sums, sums.unit(WEIGHT))
    error = standard_error(sums, fit)
    excess = fit.value - sums.centre
    if error == 0.0:
        return 0.0 if math.isclose(excess, 0.0, abs_tol=1e-9) else math.copysign(math.inf, excess)
    return excess / error


def support_mass(sums: Sums) -> float | None:
    """Mean mass of the target on arms that the logger could take; None when its pmf was not logged."""
    return sums.support / sums.support_known if sums.support_known else None


def weight_checks(sums: Sums, gates: Gates, rewards: tuple[float, float] | None = None) -> tuple[Check, ...]:
    """What the weights say about a candidate's estimates; with the log's smallest and largest reward."""
    if not sums.rows:  # nothing is wrong with weights that are not there
        return ()
    ess, share, z = effective_rows(sums), top_share(sums), mean_weight_z(sums)
    if not sums.overlapping:
        return (Check("overlap", "stop", 0.0, "no row has an arm that the candidate would have shown"),)
    ess_level: Level = "stop" if ess < gates.least_ess else _caution(ess < gates.low_ess_share * sums.rows)
    rejected = sum(sums.rejected.values())
    checks = [
        Check("overlap", "ok", sums.overlapping / sums.rows,
              f"{sums.overlapping:,} of {sums.rows:,} rows have an arm that the candidate could have shown"),
        Check("ess", ess_level, ess, f"the {sums.rows:,} rows weigh as much as {ess:,.0f} of equal weight"),
        Check("top_share", _caution(share > gates.most_top_share), share,
              f"the heaviest row carries {share:.1%} of the weight"),
        Check("mean_weight", _caution(z is not None and abs(z) > gates.most_weight_z), z,
              "mean weight cannot be tested" if z is None
              else f"mean weight is {z:+.1f} standard errors from 1"),
        _support_check(sums, gates, rewards),
        *_tail_check(sums, gates),
        Check("scored", _caution(rejected > gates.most_defects * max(sums.rows, 1)), float(rejected),
              f"{rejected:,} rows could not be scored"),
    ]  # fmt: skip
    return tuple(checks)


def _support_check(sums: Sums, gates: Gates, rewards: tuple[float, float] | None) -> Check:
    """Of what the logger could not show only the bounds are known: the smallest and the largest reward."""
    support = support_mass(sums)
    if support is None:
        return Check("support", "ok", None, "the logger's probabilities of other arms are not known")
    text = f"{support:.1%} of the candidate's mass is on arms that the logger could show"
    if support >= gates.least_support:
        return Check("support", "ok", support, text)
    if rewards:
        shown = mean_fit(sums, sums.unit(WEIGHTED)).value + sums.centre * float(sums.means[WEIGHT])
        low, high = (shown + (1 - support) * reward for reward in rewards)
        text += f": by ips, its value lies in [{low:.4g}, {high:.4g}]"
    return Check("support", "caution", support, text)


def _tail_check(sums: Sums, gates: Gates) -> list[Check]:
    """Where the tail of the weights has a shape to speak of."""
    k = pareto_k(sums.heaviest, sums.rows)
    if k is None:
        return []
    text = f"the tail of the weights has Pareto k {k:.2f}"
    return [Check("pareto_k", _caution(k > gates.most_pareto_k), k, text)]


def _mean(total: float | None, count: float | None) -> float:
    """0 where there is none, or where the sum has overflowed."""
    mean = total / count if total is not None and count else 0.0
    return mean if math.isfinite(mean) else 0.0


def _caution(doubtful: bool) -> Level:
    return "caution" if doubtful else "ok"


def _counts(log: Log) -> dict[str, int]:
    rows = log.connection.execute(
        f"SELECT status, count(*) FROM {VIEW} GROUP BY status ORDER BY status"
    ).fetchall()
    return {str(status): int(count) for status, count in rows}


def _loggers(log: Log) -> tuple[Logger, ...]:
    weighed = "isfinite(CAST(reward AS DOUBLE)) AND inclusion_probability > 0"
    rows = log.connection.execute(f"""
        SELECT source, policy, CAST(model_version AS BIGINT), count(*),
               fsum(CAST(reward AS DOUBLE) / inclusion_probability) FILTER (WHERE {weighed})
               / fsum(1.0 / inclusion_probability) FILTER (WHERE {weighed})
        FROM {VIEW} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""").fetchall()
    return tuple(Logger(*row) for row in rows)
