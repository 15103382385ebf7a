"""Taking turns: how the list of what a version was trained on stays short while the gate refuses.

That list goes into one entry of the version log, and every step adds a batch for each partition: millions in
a day of refusals. So once it is long, partitions are read one after the other, each to its end, which makes
one long batch of many; and between two rounds there is a rest, that grows with the list. It is about a
hundredth of the time that the refusals have lasted: by so much later they may end.
"""

from __future__ import annotations

from policy_learner.state import Learner
from sidecar.contracts.scripts.publish import Batch

LISTED = 4096
"""Batches from which on the list is long: 200 KB of the store."""
ROUNDS_A_DOUBLING = 100
"""Of turns, until the rest is twice as long."""
MOST_ENTRIES = 16_384
"""Of one batch: a rebuild has it in memory."""


def takes_turns(learner: Learner) -> bool:
    """Whether the list is long."""
    return len(learner.progress.batches) >= LISTED


def rests(learner: Learner) -> bool:
    """Whether nothing is to be read just now."""
    return takes_turns(learner) and learner.progress.turn == 0 and not learner.timers.turn.due


def only(learner: Learner) -> int | None:
    """The partition whose turn it is; None: all are read. Shuffled blocks cannot be joined: all of them."""
    is_shuffled = bool(learner.deps.application.model.shuffle)
    return learner.progress.turn if takes_turns(learner) and not is_shuffled else None


def pass_on(learner: Learner, is_full: bool) -> None:
    """After a read: who is at its end makes room for the next; after the last of them comes a rest."""
    progress, partitions = learner.progress, len(learner.partitions)
    if not takes_turns(learner):
        progress.turn = 0
    elif not is_full:
        progress.turn = 0 if only(learner) is None else (progress.turn + 1) % partitions
        if progress.turn == 0:
            learner.timers.turn.restart()
            learner.timers.turn.rest(_rest_s(len(progress.batches), partitions))


def note(learner: Learner, batch: Batch, entries: int) -> None:
    """Put a batch on the list, or on its last one."""
    progress = learner.progress
    last = progress.batches[-1] if progress.batches else None
    fits = progress.entries + entries <= MOST_ENTRIES
    if last and takes_turns(learner) and fits and not batch.shuffled and last.partition == batch.partition:
        progress.batches[-1] = Batch(batch.partition, last.first, batch.last, shuffled=False)
        progress.entries += entries
    else:
        progress.batches.append(batch)
        progress.entries = entries


def _rest_s(listed: int, partitions: int) -> float:
    """Twice as long after so many rounds.

    >>> _rest_s(LISTED, 4), _rest_s(LISTED + 400, 4)
    (1.0, 2.0)
    """
    return float(2.0 ** ((listed - LISTED) / (ROUNDS_A_DOUBLING * partitions)))
