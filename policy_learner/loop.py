"""The learner, stage by stage: finalise, read, learn, rebase, gate, publish, promote, archive, keep.

Whatever dies wherever: weights are a function of the stretches of the log that their version lists, a row is
in the one file that its position belongs to, and what stood in memory only is read again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from policy_learner.archive.dead_letters import refused_entries
from policy_learner.archive.trimming import trim_behind
from policy_learner.blocks import batch_of, block_is_due, is_behind, read_blocks
from policy_learner.failpoints import reached
from policy_learner.join.healing import heal
from policy_learner.join.learnt import Learnt
from policy_learner.join.positions import order
from policy_learner.join.source import Chunk, close_due, find_due
from policy_learner.learning.records import Record
from policy_learner.models.checkpoint import save
from policy_learner.models.standing import hand_over, has_moved, judge, note, resend
from policy_learner.state import Learner
from policy_learner.turns import note as note_batch

log = logging.getLogger("sidearm.learner")

_STRETCHES_A_STEP = 8
"""That a base is trained on beside what is new: it comes nearer, and the model that serves is not held up."""


def step(learner: Learner) -> int:
    """Every stage once; how much there was to do.

    Raises:
        Fenced: a later learner runs.
        Overtaken: the store holds a version that this learner does not know.
        StoreError: the store is away; call again.
        OSError: the disk is; call again.
    """
    done = finalise(learner)
    chunks = read(learner)
    begin(learner, chunks)
    busy = is_behind(learner, chunks) and not learner.figures.archive_error
    if busy and (learner.archive.is_here or learner.timers.tell.due):
        done += archive(
            learner
        )  # what was learnt before, while a trainer in a process of its own learns this
    ahead = 0 if publish_is_due(learner, coming=True) else len(chunks) * busy
    done += learn(learner, ahead)
    done += rebase(learner, chunks)
    if not chunks:
        learner.timers.publish.rest(0.0)
    if not ahead and publish_is_due(learner):
        begun = learner.deps.clock()
        publish(learner, gate(learner))
        if is_behind(learner, chunks):
            learner.timers.publish.rest((learner.deps.clock() - begun) / learner.deps.settings.publish_share)
    learner.history.keep()
    learner.promoter.look()
    done += 0 if busy else archive(learner)
    checkpoint(learner)
    learner.backups.make()
    trim(learner)
    return done + len(chunks)


def finalise(learner: Learner) -> int:
    """Close the decisions whose horizon has ended, with the rewards that they have, where no joiner does."""
    settings, tombstone_ms = learner.deps.settings, round(learner.deps.application.reward.tombstone_s * 1000)
    free = learner.free.partitions()
    waiting = find_due(learner.deps.scripts.client, free, settings.finalise_per_step)
    return close_due(learner.deps.scripts, waiting, settings.finalise_batch, tombstone_ms)


def read(learner: Learner) -> list[Chunk]:
    """What was finalised since, partition by partition. Nothing while a version is not known to stand."""
    resend(learner)
    bury(learner)
    if len(learner.progress.begun) > learner.progress.ahead:  # an error came between
        return []
    return read_blocks(learner) if block_is_due(learner) else []


def begin(learner: Learner, chunks: Sequence[Chunk]) -> None:
    """Hand the examples to the trainer, in an order that will be written down."""
    for chunk in chunks:
        learner.training.begin(batch_of(learner, chunk), learner.dead_letters.still_taught(chunk.lessons))
        learner.progress.begun.append(chunk)
        if learner.deps.traces is not None:
            learner.deps.traces.begun(chunk)
        learner.ahead.take_in()


def learn(learner: Learner, ahead: int = 0) -> int:
    """Train on the examples that were handed over, each once; how many chunks.

    Args:
        learner: whose.
        ahead: chunks that stay with the trainer: it goes on with them while others are read.
    """
    progress, done = learner.progress, 0
    progress.ahead = 0
    while len(progress.begun) > ahead:
        chunk, trained = progress.begun[0], learner.training.finish()
        progress.begun.pop(0)
        if learner.deps.traces is not None:
            learner.deps.traces.learnt(chunk, {one.place for one in trained.refused})
        if trained.effects:
            note_batch(learner, batch_of(learner, chunk), len(chunk.lessons) + len(chunk.undecoded))
            progress.since += trained.effects
        progress.positions[chunk.partition] = chunk.last
        refused = refused_entries(chunk.lessons, trained.refused)
        in_order = sorted([*refused, *chunk.undecoded], key=lambda one: order(one[0][0]))
        progress.refused += [(chunk.partition, entry, reason) for entry, reason in in_order]
        learner.promoter.observe(chunk)
        learner.ahead.take_in()
        done += 1
    reached("learnt")
    bury(learner)
    progress.ahead = len(progress.begun)
    return done


def bury(learner: Learner) -> None:
    """Put what was refused with the dead letters."""
    refused = learner.progress.refused
    learner.dead_letters.catch_up()
    while refused:
        partition, entry, reason = refused[0]
        learner.dead_letters.bury(learner.partitions[partition], entry, reason)
        refused.pop(0)
        reached("buried")


def rebase(learner: Learner, chunks: Sequence[Chunk]) -> int:
    """Bring a base that was offered to where the model is, and let it take the model's place if it may."""
    rebasing, progress = learner.rebasing, learner.progress
    done = rebasing.advance(progress.positions, _STRETCHES_A_STEP + 2 * len(chunks))
    candidate = rebasing.level(progress.positions)
    if candidate is not None and not progress.begun and hand_over(learner, candidate):
        checkpoint(learner, now=True)
    return done


def publish_is_due(learner: Learner, coming: bool = False) -> bool:
    """Something new was learnt, and enough of it or long enough ago; with ``coming``: once all is learnt."""
    progress, settings = learner.progress, learner.deps.settings
    fresh = progress.since - progress.judged
    if coming:
        fresh += sum(len(chunk.lessons) for chunk in progress.begun)
    return fresh > 0 and (learner.timers.publish.due or fresh >= settings.publish_every_examples)


def gate(learner: Learner) -> Record | None:
    """The weights, if they may be served; otherwise they stay here. Its numbers are kept either way."""
    learner.timers.publish.restart()
    verdict, record = judge(learner, learner.training)
    note(learner, learner.training, verdict)
    if verdict.passed:
        reached("gated")
        return record
    learner.progress.judged = learner.progress.since
    learner.figures.gate_refusals += 1
    learner.figures.gate_error = f"gate: {verdict.reason}"
    return None


def publish(learner: Learner, record: Record | None) -> None:
    """Weights, positions and what they were trained on, in one write that a later learner has fenced."""
    if record is not None:
        learner.progress.outstanding = learner.publisher.publication_of(record, learner.progress.batches)
        resend(learner)


def archive(learner: Learner) -> int:
    """Turn what was finalised into rows, and rows into files."""
    settings, timer, lanes = learner.deps.settings, learner.timers.archive, learner.archive
    learner.timers.tell.restart()
    learnt = Learnt(learner.progress.positions, learner.progress.version, learner.progress.more)
    taken = lanes.read(learnt, settings.read_batch)
    if timer.due or lanes.full:
        timer.restart()
        _write(learner)
    return taken


def checkpoint(learner: Learner, now: bool = False) -> None:
    """The trainer's state in a file, at a moment when all that it has learnt is published."""
    progress, timer = learner.progress, learner.timers.checkpoint
    if not (now or timer.due) or progress.since or progress.outstanding or progress.begun:
        return
    timer.restart()
    if not has_moved(learner):
        return
    training, application = learner.training, learner.deps.application
    saved = training.saved(progress.version, progress.version_epoch, progress.positions)
    record = training.record(progress.version, progress.version_epoch)
    save(learner.deps.data.checkpoints(application.name), saved, record.encoded)
    progress.checkpoint_version, progress.checkpoint_positions = saved.version, list(saved.positions)


def trim(learner: Learner, now: bool = False) -> None:
    """Let the store forget what checkpoint and archive have, and what is none of ours.

    Contests have then written it down too.
    """
    if now or learner.timers.trim.due:
        learner.timers.trim.restart()
        learner.promoter.look(now=True)
        heal(learner.deps.scripts, learner.deps.application)
        trim_behind(learner)
        reached("trimmed")


def drain(learner: Learner, in_time: Callable[[], bool]) -> None:
    """The orderly stop: all that is due is learnt, published and on disk, then the state is in a file.

    Raises:
        Fenced, Overtaken, StoreError, OSError: as :func:`step`.
    """
    while step(learner) and in_time():
        pass
    learn(learner)
    while in_time() and (chunks := read_blocks(learner)):
        begin(learner, chunks)
        learn(learner)
    if learner.progress.since:
        publish(learner, gate(learner))
    while archive(learner):
        pass
    _write(learner)
    checkpoint(learner, now=True)
    trim(learner, now=True)


def _write(learner: Learner) -> None:
    """What waits becomes files; that it could not is said until it could."""
    figures = learner.figures
    try:
        figures.archived_rows += learner.archive.write()
        reached("archived")
    except OSError as error:
        figures.archive_error = f"{type(error).__name__}: {error}"
        raise
    figures.archive_error = ""
