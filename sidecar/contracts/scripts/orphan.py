"""``orphan.lua``: rewards whose decision never came are given up. Also how a late reward is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast, get_args

from msgspec import Struct

from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import RewardKind, RewardRecord, decode_reward
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.call import Call, text


class LateReward(Struct, frozen=True):
    """A reward that joined nothing: one entry of a partition's late stream."""

    partition: int
    position: str
    kind: RewardKind
    """L late, P orphan, O over the limit, X same key with another value."""
    name: str
    """The decision (or session) that was named."""
    reward: RewardRecord


def orphan_call(keys: Keys, ids: Sequence[str]) -> Call:
    """One call for ``ids``, whose wait should be over; those whose is not are passed over."""
    shared = (keys.due, keys.orphans, keys.late, keys.counters, keys.skew)
    return Call("orphan", (*shared, *(keys.rewards(i) for i in ids)), tuple(ids))


def decode_late(partition: int, stream_id: bytes | str, fields: Mapping[bytes, bytes]) -> LateReward:
    """An entry of the late stream.

    Raises:
        BadEvent: a field is missing, or holds what it should not.
    """
    position = text(stream_id)
    try:
        kind, name, key, record = (text(fields[field]) for field in (b"k", b"i", b"m", b"r"))
    except (KeyError, UnicodeDecodeError) as error:
        raise BadEvent(f"entry {position} of partition {partition} is no late reward: {error!r}") from error
    if kind not in get_args(RewardKind):
        raise BadEvent(f"entry {position} of partition {partition}: {kind!r} is no kind of late reward")
    return LateReward(partition, position, cast(RewardKind, kind), name, decode_reward(key, record))
