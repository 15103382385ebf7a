"""A base from the log: which rows, which candidates, which is best, and where the streams stand with it.

::

    first        tested from                until          end of the log
    | older part | newer part               | newest part  |
    | epochs ×   | once, foreseen first     | once         |   the learner goes on from here
    | every candidate                       | the best one |
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from policy_learner.archive import cutting
from policy_learner.archive.archive_reader import LogReader
from policy_learner.archive.cutting import Lane, Stretch
from policy_learner.errors import BadArchive
from policy_learner.join.catalogues import Catalogues, read_from_log
from policy_learner.join.positions import START
from policy_learner.rebase import offline_figures, rebases
from policy_learner.rebase.candidates import Bench, Candidate, Variant, best_of
from policy_learner.rebase.offline_figures import Offline
from policy_learner.rebase.rebases import Base, Recipe
from sidecar.contracts.application import Application

END_OF_TIME_MS = 2**62
_ROWS_A_STRETCH = 256


class Span(NamedTuple):
    """Which rows: finalised at or after one moment and before another, milliseconds of the store's clock."""

    from_ms: int = 0
    until_ms: int = END_OF_TIME_MS


class Plan(NamedTuple):
    """What is trained on."""

    older: list[Stretch]
    newer: list[Stretch]
    newest: list[Stretch]
    tested_from_ms: int
    last_ms: int
    """Of the last row before ``until``."""
    ends: tuple[str, ...]
    """Everything up to here is in the parts above, or was left out on purpose."""


class Compared(NamedTuple):
    """Candidates and what is said of them."""

    candidates: list[Candidate]
    offline: list[Offline]
    best: Candidate


@dataclass(frozen=True)
class Job:
    """One training of a base.

    Args:
        application: whose.
        log: root of its datasets.
        span: which rows.
        variants: what is compared.
        newer_share: of the rows, the last ones, that the comparison is made on.
        evaluation: whether candidates are evaluated offline too.
    """

    application: Application
    log: Path
    span: Span
    variants: Sequence[Variant]
    newer_share: float
    evaluation: bool = True


def plan_of(job: Job) -> Plan:
    """Look at the log.

    Raises:
        BadArchive: it holds no row of that span.
    """
    name, partitions = job.application.name, job.application.partitions
    ends = cutting.ends(job.log, name, partitions)
    lanes = cutting.lanes(job.log, name, [START] * partitions, ends)
    inside = [lane.between(*job.span) for lane in lanes]
    ms = np.sort(np.concatenate([lane.ms for lane in inside]))
    if not len(ms):
        raise BadArchive(f"no decision of that time is in the log below {job.log}")
    tested_from_ms = int(ms[min(len(ms) - 1, round(len(ms) * (1.0 - job.newer_share)))])

    def part(from_ms: int, until_ms: int) -> list[Stretch]:
        return cutting.cut(_between(lanes, from_ms, until_ms), *_shape(job.application))

    return Plan(
        part(job.span.from_ms, tested_from_ms),
        part(tested_from_ms, job.span.until_ms),
        part(job.span.until_ms, END_OF_TIME_MS),
        tested_from_ms,
        int(ms[-1]),
        ends,
    )


def compare(job: Job, plan: Plan, bench: Bench, tell: Callable[[str], None] = lambda what: None) -> Compared:
    """Train every candidate, and say how good each is.

    Args:
        job: what is asked.
        plan: what is trained on.
        bench: where.
        tell: told what is being done.
    """
    candidates = bench.candidates(job.variants)
    tell("older part")
    bench.train(candidates, plan.older)
    tell("newer part")
    bench.test(candidates, plan.newer)
    tell("offline evaluation")
    offline = _evaluate(job, plan, candidates) if job.evaluation else [Offline()] * len(candidates)
    return Compared(candidates, offline, best_of(candidates))


def finish(job: Job, plan: Plan, bench: Bench, chosen: Candidate) -> str:
    """Bring the chosen one to the end of the log and write it down as a base; its id.

    Raises:
        OSError: the disk is full or away.
    """
    training = bench.go_on(chosen, plan.newest)
    recipe = Recipe(
        from_ms=job.span.from_ms,
        until_ms=min(job.span.until_ms, plan.last_ms + 1),
        tested_from_ms=plan.tested_from_ms,
        epochs=chosen.variant.epochs,
        learning_rate=chosen.variant.learning_rate,
        examples=training.examples,
    )
    return rebases.save(job.log, Base(recipe=recipe, state=training.saved(0, 0, plan.ends)))


def bench_of(job: Job, tick: Callable[[int], None]) -> Bench:
    """Where the candidates are trained; ``tick`` is told how many more rows one of them was trained on."""
    catalogues = Catalogues(read_from_log(job.log))
    reader = LogReader(job.log, job.application.name, job.application.partitions)
    return Bench(job.application, catalogues, reader, tick)


def rows_to_train(job: Job, plan: Plan) -> int:
    """Rows, each counted for every candidate and pass, up to the comparison."""
    older, newer = (sum(one.rows for one in part) for part in (plan.older, plan.newer))
    return sum(variant.epochs * older + newer for variant in job.variants)


def _evaluate(job: Job, plan: Plan, candidates: Sequence[Candidate]) -> list[Offline]:
    window = offline_figures.Window(plan.tested_from_ms, min(job.span.until_ms, plan.last_ms + 1))
    with tempfile.TemporaryDirectory(prefix="sidearm-train-") as folder:
        return [
            offline_figures.evaluate(
                job.log, one.before.encoded, job.application.exploration, window, Path(folder)
            )
            for one in candidates
            if one.before is not None
        ]


def _between(lanes: Sequence[Lane], from_ms: int, until_ms: int) -> list[Lane]:
    return [lane.between(from_ms, until_ms) for lane in lanes]


def _shape(application: Application) -> tuple[int, bool]:
    """Rows of a stretch, and whether they are shuffled: as the learner would."""
    shuffle = application.model.shuffle
    return (shuffle, True) if shuffle else (_ROWS_A_STRETCH, False)
