"""The learner's status, put together and written."""

from __future__ import annotations

import os

import msgspec

from policy_learner.course import write_point
from policy_learner.join.positions import ms_of
from policy_learner.learning.isolated_trainer import IsolatedTrainer
from policy_learner.learning.trainers import AnyTrainer
from policy_learner.state import Learner
from policy_learner.status import RUNNING, Status, StoreView, look, write
from sidecar.contracts.learner_report import Progressive, decode, encode

REFUSALS_SHOWN = 4


def report(learner: Learner, state: str = RUNNING) -> None:
    """Say how the learner is; no more often than the settings say, but at once when it stops.

    Raises:
        StoreError: nobody to say it to.
    """
    if state == RUNNING and not learner.timers.status.due:
        return
    learner.timers.status.restart()
    scripts, app = learner.deps.scripts, learner.deps.application.name
    view = look(scripts, learner.partitions, learner.progress.positions)
    status = _status(learner, view, state)
    learner.deps.show(status, learner.promoter.shown)
    write(scripts.client, app, status)
    if learner.timers.course.due:
        learner.timers.course.restart()
        own = decode(status.progressive, Progressive) or Progressive()
        write_point(scripts.client, app, view.now_ms, own, learner.promoter.shown)


def _restarts(trainer: AnyTrainer) -> int:
    return trainer.restarts if isinstance(trainer, IsolatedTrainer) else 0


def _status(learner: Learner, view: StoreView, state: str) -> Status:
    progress, figures, now = learner.progress, learner.figures, learner.deps.clock()
    unpublished_ms = min((ms_of(batch.first) for batch in progress.batches), default=view.now_ms)
    oldest_ms = min(unpublished_ms, view.unread_ms)
    learnt, seconds = learner.training.examples - figures.shown_examples, now - figures.shown_at
    figures.shown_examples, figures.shown_at = learner.training.examples, now
    return Status(
        state=state,
        pid=os.getpid(),
        at_ms=view.now_ms,
        epoch=learner.epoch,
        version=progress.version,
        examples=learner.training.examples,
        examples_per_s=round(learnt / seconds, 1) if seconds > 0 else 0.0,
        positions=msgspec.json.encode(progress.positions).decode(),
        lag_ms=max(view.overdue_ms, view.now_ms - oldest_ms, 0),
        age_ms=view.age_ms,
        pending=view.pending,
        books_decisions=view.books_decisions,
        books_rewards=view.books_rewards,
        archived_rows=figures.archived_rows,
        waiting_rows=sum(lane.waiting for lane in learner.archive.lanes),
        checkpoint_version=progress.checkpoint_version,
        dead_letters=view.dead_letters,
        gate_refusals=figures.gate_refusals,
        rebuild_mismatch=int(figures.rebuild_mismatch),
        last_error=_error(learner),
        progressive=encode(learner.training.progressive.figures()),
        gate=encode(learner.gatekeeper.latest) if learner.gatekeeper.latest else "",
        base=_base(learner),
        backlog_ms=max(view.overdue_ms, view.now_ms - view.unread_ms, 0),
        trainer_restarts=_restarts(learner.training.trainer),
        refusals=encode(list(learner.gatekeeper.refusals)[-REFUSALS_SHOWN:]),
    )


def _error(learner: Learner) -> str:
    """What is wrong, the worst first; empty while all is well."""
    figures, nightly = learner.figures, learner.deps.nightly
    said = (figures.step_error, figures.archive_error, figures.gate_error, learner.backups.error)
    return next(filter(None, said), nightly.error if nightly else "")


def _base(learner: Learner) -> str:
    """The last base that was offered, and whether another one is on its way."""
    nightly, word = learner.deps.nightly, learner.rebasing.word(learner.progress.positions)
    if nightly is None or not nightly.is_going_on:
        return word
    return f"{word}; another one is being trained" if word else "one is being trained"
