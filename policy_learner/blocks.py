"""Blocks: how much of each partition is learnt in one go, and when there is enough of it."""

from __future__ import annotations

from collections.abc import Sequence

from policy_learner import turns
from policy_learner.join.source import Chunk, examples_after, read_chunks
from policy_learner.state import Deps, Learner
from sidecar.contracts.scripts.publish import Batch


def read_blocks(learner: Learner) -> list[Chunk]:
    """The next block of each partition that has one."""
    deps, positions, only = learner.deps, _handed_over(learner), turns.only(learner)
    chunks = read_chunks(learner.ahead.read, deps.application, positions, block_of(deps), only)
    learner.archive.note(chunks, positions)
    learner.progress.more = is_behind(learner, chunks)
    if learner.progress.more and only is None:
        _ask(learner, chunks, positions)
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


def _ask(learner: Learner, chunks: Sequence[Chunk], positions: Sequence[str]) -> None:
    """Have the store look for what comes next, while this is learnt."""
    after = list(positions)
    for chunk in chunks:
        after[chunk.partition] = chunk.last
    wanted = [examples_after(keys, after) for keys in learner.partitions]
    learner.ahead.ask(wanted, block_of(learner.deps))


def _handed_over(learner: Learner) -> list[str]:
    """How far each partition was read: beyond what is learnt lies what the trainer is busy with."""
    positions = list(learner.progress.positions)
    for chunk in learner.progress.begun:
        positions[chunk.partition] = chunk.last
    return positions
