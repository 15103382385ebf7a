"""What would another policy have earned? Load, diagnose, estimate, compare: read this file first.

::

    Parquet log -> judged rows -> health -> reward model -> scored batches -> sums -> estimates -> verdict
    dataset.py     rejections.py  doctor.py reward_model.py scoring.py        scan.py estimators/  verdict.py
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from offline_eval.calibration import model_checks
from offline_eval.dataset import VIEW, Log, Window, find_files, open_log
from offline_eval.diagnostics import Check, Gates, LogSummary, log_checks, summarise
from offline_eval.doctor import examine
from offline_eval.engine import connect
from offline_eval.errors import BadCandidate, BadLog
from offline_eval.estimators import Limits
from offline_eval.fingerprint import fingerprint, identity
from offline_eval.groups import DAY, GROUP, SEGMENT
from offline_eval.histogram import bins
from offline_eval.kept_scores import finish, kept
from offline_eval.readable_files import Lost, damaged
from offline_eval.results import CandidateResult, Evaluation, GroupResult
from offline_eval.reward_crossfit import fit_crossfitted
from offline_eval.reward_model import Expecting, ModelSettings, fit_reward_model
from offline_eval.reward_weights import WeightsModel
from offline_eval.scan import scan_sql
from offline_eval.scoring import BATCH_ROWS, gathered, score_log
from offline_eval.summing import CURVE, Asked, DuckDb, Engine, Summing, asked_of
from offline_eval.sums import Sums
from offline_eval.target_policy import TargetPolicy
from offline_eval.verdict import judge
from offline_eval.versus import check_against, versus_all
from offline_eval.weight_files import read_weights

Advance = Callable[[int], None]


class Options(Struct, frozen=True):
    """How an evaluation is made."""

    limits: Limits = Limits()
    level: float = 0.95
    model: ModelSettings = ModelSettings()
    gates: Gates = Gates()
    batch_rows: int = BATCH_ROWS
    threads: int = 1
    """Of DuckDB, 0 for one per core. With one the same question has the same answer to the last digit, and
    takes no longer: scoring, which is most of the work, has one anyway."""
    memory_limit: str = ""
    by: tuple[str, ...] = ()
    """What estimates are made apart by too (``offline_eval.row_keys``), such as ``("segment",)``."""
    scores: str = ""
    """Folder where what candidates would have done is kept (``kept_scores.py``); empty: nowhere."""
    against: str = ""
    """Candidate that the others are held against, beside the logger."""
    engine: Literal["duckdb", "spark"] = "duckdb"
    """What sums scored rows; numbers are equal to 1e-9."""
    spark_remote: str = ""
    """``sc://host:port`` of a Spark Connect server; empty: Spark in this process."""
    spark_folder: str = ""
    """Folder that Spark sees too, for scored rows; empty: that of temporary files."""


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
    options, window = options or Options(), window or Window()
    try:
        return _evaluated(folder, candidates, window, options, advance, {})
    except (duckdb.Error, pa.ArrowException) as error:
        bad = damaged(find_files(folder))
        if not bad:
            raise BadLog(f"{folder} cannot be read: {str(error).partition(chr(10))[0]}") from error
    return _evaluated(folder, candidates, window, options, advance, bad)


def _evaluated(
    folder: Path,
    candidates: Sequence[TargetPolicy],
    window: Window,
    options: Options,
    advance: Advance,
    bad: Mapping[Path, Lost],
) -> Evaluation:
    """The whole of it, without files that turned out to be damaged."""
    log = load(folder, window, options, bad)
    summary = summarise(log)
    checks = (*log_checks(summary, options.gates), *examine(log, options.gates))
    sums = estimate(log, summary, candidates, options, advance)
    made_of = fingerprint(log, [identity(one) for one in candidates], _said(options))
    return compare(summary, checks, sums, options, made_of)


def load(folder: Path, window: Window, options: Options, bad: Mapping[Path, Lost] | None = None) -> Log:
    """Open the log; no row is read into memory."""
    return open_log(connect(options.threads, options.memory_limit), folder, window, bad)


def population(summary: LogSummary) -> str:
    """The status of the rows to evaluate on.

    Where nothing was drawn at random, the rows without chance remain: a reward model can still answer there.
    """
    return "" if summary.counted or not summary.left_out.get("deterministic") else "deterministic"


def fit_model(log: Log, status: str, options: Options) -> Expecting:
    """The reward model: fitted on the rows that are evaluated on (cross-fitted), or a trained one."""
    if options.model.learner:
        return fit_crossfitted(log, status, options.model)
    if options.model.weights:
        return WeightsModel(read_weights(options.model.weights, log.folder.name), log, status)
    rows = f"(SELECT * FROM {VIEW} WHERE status = '{status}')"
    return fit_reward_model(log.connection, rows, options.model)


def estimate(
    log: Log, summary: LogSummary, candidates: Sequence[TargetPolicy], options: Options, advance: Advance
) -> Summing:
    """Sums by group and candidate, by pair and by unit: the log is read once, and sums of batches add up."""
    names = [one.name for one in candidates]
    if not names:
        raise BadCandidate("no candidate: name at least one target policy")
    check_against(options.against, names)
    status = population(summary)
    model = fit_model(log, status, options)
    policies = kept(candidates, options.scores)
    asked = asked_of(names, options.against, summary.mean_reward, options.limits)
    with _engine(log, asked, options) as engine:
        sums = Summing(engine, asked, model)
        scored = score_log(log, policies, model, options.model.keys, status, options.by, options.batch_rows)
        for tables in gathered(scored):
            sums.add(tables)
            advance(sum(map(len, tables.values())))
        finish(policies)
        sums.finish()
    return sums


@contextmanager
def _engine(log: Log, asked: Asked, options: Options) -> Iterator[Engine]:
    """What sums."""
    if options.engine == "duckdb":
        yield DuckDb(asked, log.connection, scan_sql("scored", asked.centre, asked.plan))
        return
    from offline_eval.spark import spark_engine

    with spark_engine(asked, options.spark_remote, options.spark_folder) as engine:
        yield engine


def compare(
    summary: LogSummary, checks: tuple[Check, ...], sums: Summing, options: Options, made_of: str
) -> Evaluation:
    """Estimates, checks and a verdict for every candidate: on all rows, and group by group."""
    calibration = sums.calibration.bins()
    checks += model_checks(calibration, sums.model)
    results = judged(sums.whole(), summary, checks, options, sums)

    def apart(column: str, least: int = 2) -> tuple[GroupResult, ...]:
        groups = sums.found.groups[column]
        each = sorted(groups.items()) if least <= len(groups) else []
        return tuple([GroupResult(group, judged(one, summary, checks, options)) for group, one in each])

    return Evaluation(
        log=summary,
        checks=checks,
        level=options.level,
        candidates=results,
        scan=sums.sql,
        by=options.by,
        groups=apart(GROUP, least=1) if options.by else (),
        versus=versus_all(sums.found.pairs, options.against, results, options.level, options.limits),
        days=apart(DAY),
        segments=apart(SEGMENT),
        calibration=calibration,
        fingerprint=made_of,
    )


def _said(options: Options) -> Options:
    """Without what changes no number."""
    return replace(
        options, batch_rows=BATCH_ROWS, threads=1, memory_limit="", scores="",
        engine="duckdb", spark_remote="", spark_folder="",
    )  # fmt: skip


def judged(
    sums: Mapping[str, Sums],
    summary: LogSummary,
    checks: tuple[Check, ...],
    options: Options,
    whole: Summing | None = None,
) -> tuple[CandidateResult, ...]:
    """What there is to say about each candidate on some rows; on all of them, with curve and histogram."""
    status, gates, limits, range_ = population(summary), options.gates, options.limits, summary.rewards
    buckets, curve, weights = (whole.found.buckets, CURVE, whole.weights) if whole else ({}, None, {})
    results = {
        name: judge(name, one, status, options.level, gates, limits, checks, buckets.get(name), curve, range_)
        for name, one in sums.items()
    }
    unscored = whole.unscored if whole else {}
    return tuple(
        [
            replace(one, weights=bins(weights.get(name, {})), unscored=unscored.get(name, ()))
            for name, one in results.items()
        ]
    )
