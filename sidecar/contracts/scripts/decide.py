"""``decide.lua``: log a batch of decisions of one partition, each at most once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import MODES, DecisionEvent, encode_decision
from sidecar.contracts.keys import Keys
from sidecar.contracts.reward_section import RewardMode
from sidecar.contracts.scripts.call import Call, pack, text

_STORED = re.compile(rb"(\d+)([ae]?)(d?)\|")
_FLAGS = {
    (mode, deferred): ("" if letter == "w" else letter) + ("d" if deferred else "")
    for letter, mode in MODES.items()
    for deferred in (False, True)
}
"""Mode, and whether it is deferred, to what ``decide.lua`` wants, and stores, of a decision to be logged."""


class DecideStatus(StrEnum):
    """What became of a decision."""

    OK = "OK"
    """Logged now."""
    DUP = "DUP"
    """Logged before and still pending: the stored one stands."""
    FIN = "FIN"
    """Logged before and finalised: the stored one stands, as long as it is kept."""
    CONFLICT = "CONFLICT"
    """The session used this client key for another request."""
    FULL = "FULL"
    """Too many are pending: not logged, shed."""
    SHED = "SHED"
    """Its caller chose not to log it, and it was not logged before either."""


_OK = DecideStatus.OK  # dearer to find in the enumeration, a decision each


class DecideEntry(Struct, frozen=True):
    """One decision to be logged."""

    decision_id: str
    session_id: str
    arm: str
    horizon_ms: int
    payload: bytes
    client_key: str = ""
    """The client's own key inside its session; empty if it gave none."""
    digest: str = ""
    """Digest of the request: the same key with another digest is a conflict."""
    mode: RewardMode = "wait"
    """How it will be joined and learnt, whatever the application says later."""
    deferred: bool = False
    """It does not count until it is activated."""
    logged: bool = True
    """False: only ask whether it was logged before; ``payload`` is not sent."""
    arms: tuple[str, ...] = ()
    """By which of its arms a reward by session finds it; none, where rewards go by another rule."""
    sticky: str = ""
    """What the session is to keep: asked for the same within the window it has the same decision. Empty: it
    keeps nothing."""
    sticky_ms: int = 0
    """That window, from the decision on."""


class Decided(NamedTuple):
    """The answer for one entry."""

    status: DecideStatus
    decision_id: str
    """The decision that stands: of DUP, FIN and CONFLICT by client key, the earlier one's id."""
    deadline_ms: int | None = None
    """Until when it takes rewards, by the store's clock."""
    payload: bytes | None = None
    """The stored decision of DUP and FIN, where the script had it at hand: not when a client key led to
    another id (see ``journal.decide``), nor after the answer's retention."""


def entry_of(
    event: DecisionEvent, mode: RewardMode = "wait", logged: bool = True, by_arm: bool = False
) -> DecideEntry:
    """An event as an entry; ``by_arm``: rewards by session find it by the arms that it showed.

    The first reward of one slot says nothing of the others: decisions of several wait, not ``earliest``.
    """
    if event.slots and mode == "earliest":
        mode = "wait"
    return DecideEntry(
        event.decision_id,
        event.session_id,
        event.arm,
        event.horizon_ms,
        encode_decision(event) if logged else b"",
        event.client_key,
        event.digest,
        mode,
        event.deferred,
        logged,
        (event.arm, *[slot.arm for slot in event.slots]) if by_arm else (),
    )


def decide_call(keys: Keys, entries: Sequence[DecideEntry], *, max_pending: int, tombstone_ms: int) -> Call:
    """One call for all ``entries``, which must be of the partition of ``keys``.

    Raises:
        BadId: an entry's id is none of ours.
    """
    names, members = keys.logging([(entry.decision_id, entry.session_id) for entry in entries])
    fields = [_fields(entry, member) for entry, member in zip(entries, members, strict=True)]
    return Call("decide", tuple(names), (pack(fields), max_pending, tombstone_ms))


def parse_decide(reply: Sequence[bytes | Sequence[bytes]]) -> list[Decided]:
    """One answer for each entry, in order."""
    return [_logged(one) if isinstance(one, (bytes, str)) else _decided(*one) for one in reply]


class Stored(NamedTuple):
    """What lies under a decision's key."""

    deadline_ms: int
    payload: bytes
    mode: RewardMode = "wait"
    deferred: bool = False
    """It was to be activated, and has not been."""


def split_stored(stored: bytes) -> Stored:
    """The parts of ``deadline_ms[a|e][d]|payload``.

    Raises:
        BadEvent: the bytes have another form.

    >>> split_stored(b"1700000000000|payload")
    Stored(deadline_ms=1700000000000, payload=b'payload', mode='wait', deferred=False)
    >>> split_stored(b"1700000000000ed|payload")[2:]
    ('earliest', True)
    """
    match = _STORED.match(stored)
    if not match:
        raise BadEvent(f"a decision is stored as {stored[:40]!r}, without its deadline in front")
    return Stored(int(match[1]), stored[match.end() :], MODES[text(match[2]) or "w"], bool(match[3]))


def _logged(told: bytes | str) -> Decided:
    deadline_ms, _, decision_id = (told.decode() if isinstance(told, bytes) else told).partition("|")
    return Decided(_OK, decision_id, int(deadline_ms))


def _decided(word: bytes | str, decision_id: bytes | str, stored: bytes) -> Decided:
    status = DecideStatus(text(word))
    try:
        known = split_stored(stored)
    except BadEvent:  # nothing, or foreign bytes: the others of the batch must not suffer from them
        return Decided(status, text(decision_id))
    return Decided(status, text(decision_id), known.deadline_ms, known.payload or None)


def _fields(entry: DecideEntry, member: str) -> tuple[str | bytes, ...]:
    fields = (
        entry.decision_id,
        entry.client_key,
        entry.digest,
        entry.arm,
        str(entry.horizon_ms),
        member,
        entry.payload,
        _FLAGS[entry.mode, entry.deferred] if entry.logged else "-",
    )
    if not (entry.sticky or entry.arms):  # as most
        return fields
    return (*fields, entry.sticky, str(entry.sticky_ms), *entry.arms)
