"""Decision ids: ours carry their partition and their time, so that any caller can route a reward.

``<partition, hex>-<ms, 11 hex><64 random bits, 16 hex>``: 128 bits with the partition, as text.
"""

from __future__ import annotations

import re
from functools import lru_cache

import mmh3

from sidecar.contracts.errors import BadId

_FORM = re.compile(r"^([0-9a-f]{1,2})-([0-9a-f]{11})([0-9a-f]{16})\Z")
_PARTITION_SEED = 0x51DE
_TOMB_SEED = 0x70B5
_UNIT_SEED = 0x0B0C
_TOMB_WIDTH_MS = 60_000
UNIT_BUCKETS = 1024


def partition_of_session(session_id: str, partitions: int) -> int:
    """The partition in which a session and all its decisions live.

    >>> partition_of_session("s-42", 4)
    1
    """
    return int(mmh3.hash(session_id, _PARTITION_SEED, signed=False)) % partitions


def new_decision_id(partition: int, now_ms: int, entropy: int) -> str:
    """A decision id; ``entropy`` is 64 random bits.

    >>> new_decision_id(3, 1_700_000_000_000, 255)
    '3-18bcfe5680000000000000000ff'
    """
    return f"{partition:x}-{now_ms:011x}{entropy & (2**64 - 1):016x}"


def partition_of_decision(decision_id: str, partitions: int) -> int:
    """The partition that a decision id carries.

    Raises:
        BadId: not one of ours, or of a partition that this application does not have.
    """
    match = _FORM.match(decision_id)
    partition = int(match[1], 16) if match else partitions
    if partition >= partitions:
        raise BadId(f"{decision_id[:64]!r} is no decision id of this application")
    return partition


def has_our_form(decision_id: str) -> bool:
    """Whether this could be one of ours, of whatever application.

    >>> has_our_form("3-18bcfe5680000000000000000ff"), has_our_form("order-77")
    (True, False)
    """
    return _FORM.match(decision_id) is not None


def decided_ms(decision_id: str) -> int:
    """The millisecond in which the id was made.

    >>> decided_ms("3-18bcfe5680000000000000000ff")
    1700000000000
    """
    match = _FORM.match(decision_id)
    if match is None:
        raise BadId(f"{decision_id[:64]!r} is no decision id")
    return int(match[2], 16)


@lru_cache(maxsize=1024)  # asked for key and member, one after the other
def tombstone(decision_id: str) -> tuple[str, str]:
    """Bucket and member under which a finalised id is remembered: 62 bits in an intset of few members.

    The bucket is the minute in the id and some bits of its hash, so that it stays small and expires whole.
    """
    return fresh_tombstone(decision_id)


def fresh_tombstone(decision_id: str) -> tuple[str, str]:
    """The same for an id that nobody asks for again: who remembered it would forget another one."""
    high, low = mmh3.hash64(decision_id, _TOMB_SEED, signed=False)
    return f"{decided_ms(decision_id) // _TOMB_WIDTH_MS:x}.{low & 0x3F:x}", str(high >> 2)


def unit_bucket(unit_id: str) -> int:
    """A stable bucket in [0, 1024) of the unit: folds, clusters and the bootstrap stand on it.

    >>> unit_bucket("u-7")
    8
    """
    return int(mmh3.hash(unit_id, _UNIT_SEED, signed=False)) % UNIT_BUCKETS
