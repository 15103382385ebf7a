"""Blocks: how much of each partition is learnt in one go, and when there is enough of it."""

from __future__ import annotations

from collections.abc import Sequence

from policy_learner import turns
from policy_learner.join.source import Chunk, read_chunks
from policy_learner.state import Deps, Learner
from sidecar.contracts.scripts.publish import Batch


def read_blocks(learner: Learner) -> list[Chunk]:
    """The next block of each partition that has one."""
    deps, positions, only = learner.deps, _handed_over(learner), turns.only(learner)
    chunks = read_chunks(deps.scripts.client, deps.application, positions, block_of(deps), only)
    learner.archive.note(chunks, positions)
    learner.progress.more = is_behind(learner, chunks)
    turns.pass_on(learner, learner.progress.more)
    return chunks


def block_is_due(learner: Learner) -> bool:
    """Shuffled blocks fill up until the next version is due, unless there is more than one of them."""
    if turns.takes_turns(learner):
        return not turns.rests(learner)
    is_shuffled = bool(learner.deps.application.model.shuffle)
    return not is_shuffled or learner.progress.more or learner.timers.publish.due


def is_behind(learner: Learner, chunks: Sequence[Chunk]) -> bool:
    """There was more to read than one step takes: time is worth more to learning than to publishing."""
    most = block_of(learner.deps)
    return any(len(chunk.lessons) + len(chunk.undecoded) >= most for chunk in chunks)


def block_of(deps: Deps) -> int:
    """How many entries of a partition are learnt in one go, at most."""
    return deps.application.model.shuffle or deps.settings.read_batch


def batch_of(learner: Learner, chunk: Chunk) -> Batch:
    """A block as the version log lists it."""
    return Batch(chunk.partition, chunk.first, chunk.last, bool(learner.deps.application.model.shuffle))


def _handed_over(learner: Learner) -> list[str]:
    """How far each partition was read: beyond what is learnt lies what the trainer is busy with."""
    positions = list(learner.progress.positions)
    for chunk in learner.progress.begun:
        positions[chunk.partition] = chunk.last
    return positions
