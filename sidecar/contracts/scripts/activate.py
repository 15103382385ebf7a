"""``activate.lua``: deferred decisions of one partition begin to count, each at most once."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from sidecar.contracts.ids import tombstone
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.call import Call, pack, text


class ActivateStatus(StrEnum):
    """What became of an activation."""

    OK = "OK"
    """The decision counts from now on."""
    DUP = "DUP"
    """It counted already: activated before, or never deferred."""
    LATE = "LATE"
    """It is finalised: it was not activated in time, or it is so long ago that nobody knows."""
    UNKNOWN = "UNKNOWN"
    """No such decision."""


class ActivateEntry(Struct, frozen=True):
    """One decision to be activated."""

    decision_id: str
    session_id: str
    """Its session, which is remembered as long as the decision takes rewards."""
    horizon_ms: int | None = None
    """From the activation on; None: the deadline stays what it is."""


class Activated(NamedTuple):
    """The answer for one entry."""

    status: ActivateStatus
    decision_id: str
    deadline_ms: int | None = None
    """Until when it takes, or took, rewards, by the store's clock."""


def activate_call(keys: Keys, entries: Sequence[ActivateEntry], *, tombstone_ms: int) -> Call:
    """One call for all ``entries``, which must be of the partition of ``keys``.

    Raises:
        BadId: an entry's id is none of ours.
    """
    shared = (keys.due, keys.examples, keys.counters, keys.skew)
    each = [key for entry in entries for key in _keys_of(keys, entry)]
    return Call("activate", (*shared, *each), (pack(map(_fields, entries)), tombstone_ms))


def parse_activate(reply: Sequence[Sequence[bytes]]) -> list[Activated]:
    """One answer for each entry, in order."""
    return [
        Activated(ActivateStatus(text(status)), text(decision_id), int(deadline) if deadline else None)
        for status, decision_id, deadline in reply
    ]


def _keys_of(keys: Keys, entry: ActivateEntry) -> tuple[str, str, str, str]:
    decision_id = entry.decision_id
    return (
        keys.decision(decision_id),
        keys.rewards(decision_id),
        keys.session(entry.session_id),
        keys.finalised(decision_id),
    )


def _fields(entry: ActivateEntry) -> tuple[str, str, str]:
    horizon_ms = "" if entry.horizon_ms is None else str(entry.horizon_ms)
    return entry.decision_id, tombstone(entry.decision_id)[1], horizon_ms
