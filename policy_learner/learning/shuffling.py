"""The order in which a block of the log is learnt: its own, or one drawn from a hash.

The order depends on the block's first position and on the ids of its decisions alone, so whoever trains the
block again finds it again: from the store or from the log, whole or with rows that were deleted since.
Entries of one decision stay together and in their order: a correction comes after what it corrects.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from sidecar.contracts.scripts.publish import Batch

_DIGEST_BYTES = 8
_KEY_BYTES = 64  # all that BLAKE2b takes


def order_of(batch: Batch, decision_ids: Sequence[str]) -> list[int]:
    """Places of a batch's decisions in the order in which they are learnt.

    >>> order_of(Batch(0, "5-0", "5-3"), ["a", "b", "c", "d"])
    [0, 1, 2, 3]
    >>> order_of(Batch(0, "5-0", "5-3", shuffled=True), ["a", "b", "c", "d"])
    [3, 2, 0, 1]
    """
    places = list(range(len(decision_ids)))
    if not batch.shuffled:
        return places
    keyed = blake2b(digest_size=_DIGEST_BYTES, key=f"{batch.partition} {batch.first}".encode()[:_KEY_BYTES])
    drawn = [_drawn(keyed.copy(), decision_id) for decision_id in decision_ids]
    return sorted(places, key=drawn.__getitem__)


def _drawn(keyed: blake2b, decision_id: str) -> bytes:
    keyed.update(decision_id.encode())
    return keyed.digest()
