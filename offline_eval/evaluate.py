"""What would another policy have earned? Load, diagnose, estimate, compare: read this file first.

::

    Parquet log -> judged rows -> reward model -> scored batches -> sums -> estimates -> verdict
    dataset.py     rejections.py  reward_model.py  scoring.py       scan.py estimators/  verdict.py
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from offline_eval.dataset import VIEW, Log, Window, open_log
from offline_eval.diagnostics import Gates, LogSummary, log_checks, summarise
from offline_eval.engine import connect
from offline_eval.errors import BadCandidate
from offline_eval.estimators import Limits, estimators, plan_of
from offline_eval.groups import GroupSums, add, all_together
from offline_eval.results import CandidateResult, Evaluation, GroupResult
from offline_eval.reward_model import ModelSettings, RewardModel, fit_reward_model
from offline_eval.scan import scan_sql
from offline_eval.scoring import BATCH_ROWS, score_log
from offline_eval.sums import Sums
from offline_eval.target_policy import TargetPolicy
from offline_eval.verdict import judge

Advance = Callable[[int], None]


class Options(Struct, frozen=True):
    """How an evaluation is made."""

    limits: Limits = Limits()
    level: float = 0.95
    model: ModelSettings = ModelSettings()
    gates: Gates = Gates()
    batch_rows: int = BATCH_ROWS
    threads: int = 0
    memory_limit: str = ""
    by: tuple[str, ...] = ()
    """What estimates are made apart by too (``offline_eval.row_keys``), such as ``("segment",)``."""


def evaluate(
    folder: Path,
    candidates: Sequence[TargetPolicy],
    window: Window | None = None,
    options: Options | None = None,
    advance: Advance = lambda rows: None,
) -> Evaluation:
    """Evaluate target policies on an application's Parquet log.

    Args:
        folder: such as ``data/log/shop``.
        candidates: names must differ.
        window: which rows; all by default.
        options: how.
        advance: told of the rows done, per candidate.

    Raises:
        BadLog: the log cannot be read.
        BadCandidate: the candidates or the reward model's keys make no sense.
    """
    options = options or Options()
    log = load(folder, window or Window(), options)
    summary = summarise(log)
    groups = estimate(log, summary, candidates, options, advance)
    return compare(summary, [one.name for one in candidates], groups, options)


def load(folder: Path, window: Window, options: Options) -> Log:
    """Open the log; no row is read into memory."""
    return open_log(connect(options.threads, options.memory_limit), folder, window)


def population(summary: LogSummary) -> str:
    """The status of the rows to evaluate on.

    Where nothing was drawn at random, the rows without chance remain: a reward model can still answer there.
    """
    return "" if summary.counted or not summary.left_out.get("deterministic") else "deterministic"


def fit_model(log: Log, status: str, options: Options) -> RewardModel:
    """The reward model, fitted on the rows that are evaluated on (cross-fitted)."""
    rows = f"(SELECT * FROM {VIEW} WHERE status = '{status}')"
    return fit_reward_model(log.connection, rows, options.model)


def estimate(
    log: Log, summary: LogSummary, candidates: Sequence[TargetPolicy], options: Options, advance: Advance
) -> GroupSums:
    """Group to candidate to sums: the log is read once, in batches, whose sums add up."""
    if not candidates:
        raise BadCandidate("no candidate: name at least one target policy")
    status = population(summary)
    model = fit_model(log, status, options)
    groups: GroupSums = {}
    plan = plan_of(estimators(options.limits))
    scored = score_log(log, candidates, model, options.model.keys, status, options.by, options.batch_rows)
    for name, table in scored:
        add(groups, log.connection, name, table, summary.mean_reward, plan)
        advance(len(table))
    return groups


def compare(
    summary: LogSummary, candidates: Sequence[str], groups: GroupSums, options: Options
) -> Evaluation:
    """Estimates, checks and a verdict for every candidate: on all rows, and group by group if asked for."""
    plan = plan_of(estimators(options.limits))
    whole = all_together(groups, candidates, summary.mean_reward, plan)
    apart = sorted(groups.items()) if options.by else []
    return Evaluation(
        log=summary,
        checks=log_checks(summary, options.gates),
        level=options.level,
        candidates=judged(whole, summary, options),
        scan=scan_sql("scored", summary.mean_reward, plan),
        by=options.by,
        groups=tuple([GroupResult(group, judged(sums, summary, options)) for group, sums in apart]),
    )


def judged(sums: dict[str, Sums], summary: LogSummary, options: Options) -> tuple[CandidateResult, ...]:
    """What there is to say about each candidate on some rows."""
    status = population(summary)
    return tuple(
        [judge(name, one, status, options.level, options.gates, options.limits) for name, one in sums.items()]
    )
