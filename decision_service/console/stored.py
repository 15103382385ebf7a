"""Decisions that the store still has, by what is known of them: the newest are looked at, never all."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import cast

import msgspec
from msgspec import Struct

from decision_service.event_log import patiently
from sidecar.contracts import journal
from sidecar.contracts.application import Application
from sidecar.contracts.errors import BadEvent, BadId
from sidecar.contracts.events import DecisionEvent, decode_decision
from sidecar.contracts.ids import decided_ms, partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.looking import Sought
from sidecar.contracts.store import AsyncScripts

MOST_LOOKED = 1_000
"""So many of the newest are looked at: some ten milliseconds of the store, in parts."""
_LEAST_A_PARTITION = 16
_CHUNK = 50
"""Read and decoded in one go: for so long no decision of others is made."""


class _Named(Struct, array_like=True):
    """The beginning of a stored decision."""

    decision_id: str


_name = msgspec.msgpack.Decoder(_Named)

Found = tuple[DecisionEvent, journal.StoredDecision]


class StoreLook(Struct, frozen=True):
    """What a look came to."""

    found: tuple[Found, ...]
    """The newest first."""
    looked: int
    """Decisions that were looked at."""
    more: bool
    """The store may have others that were not."""


class StoreSearch:
    """Looks into the store of one application."""

    def __init__(self, scripts: AsyncScripts, application: Application) -> None:
        self._scripts, self._app, self._partitions = scripts, application.name, application.partitions

    async def look(self, sought: Sought) -> StoreLook:
        """The newest decisions that are as ``sought`` says: of its session, or of all that is recent.

        Raises:
            StoreAway: the store did not answer.
        """
        named = await (self._of_session(sought.session_id) if sought.session_id else self._recent())
        ids = sorted({one for one in named if _in_time(one, sought)}, key=decided_ms, reverse=True)
        found: list[Found] = []
        looked = 0
        for start in range(0, min(len(ids), MOST_LOOKED), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            looked += len(chunk)
            found += [one for one in await self._read(chunk) if matches(one[0], sought)]
            if len(found) >= sought.limit:
                break
        return StoreLook(tuple(found[: sought.limit]), looked, looked < len(ids) or not sought.session_id)

    async def _of_session(self, session_id: str) -> list[str]:
        keys = Keys(self._app, partition_of_session(session_id, self._partitions))
        found = await patiently(lambda: self._scripts.client.hkeys(keys.session(session_id)))
        fields = cast("list[bytes]", found)
        return _ours(field[2:].decode(errors="replace") for field in fields if field.startswith(b"d:"))

    async def _recent(self) -> list[str]:
        """Those that are pending, and those that were finalised last: of every partition its share."""
        most = max(_LEAST_A_PARTITION, MOST_LOOKED // self._partitions)
        each = await asyncio.gather(
            *(self._newest(Keys(self._app, p), most) for p in range(self._partitions))
        )
        return [one for part in each for one in part]

    async def _newest(self, keys: Keys, most: int) -> list[str]:
        async def talk() -> tuple[list[bytes], list[tuple[bytes, dict[bytes, bytes]]]]:
            pipe = self._scripts.client.pipeline(transaction=False)
            pipe.zrevrange(keys.due, 0, most - 1)
            pipe.xrevrange(
                keys.examples, count=max(_LEAST_A_PARTITION, most // 4)
            )  # they are soon in the log
            pending, finalised = await pipe.execute()
            return pending, finalised

        pending, finalised = await patiently(talk)
        names = [one.decode(errors="replace") for one in pending]
        for _, fields in finalised:
            with suppress(msgspec.MsgspecError):
                names.append(_name.decode(fields.get(b"d", b"")).decision_id)
        return _ours(names)

    async def _read(self, ids: Sequence[str]) -> list[Found]:
        """Those that can be read, in their order."""
        by_partition: dict[int, list[str]] = defaultdict(list)
        for one in ids:
            by_partition[int(one.partition("-")[0], 16)].append(one)
        read: dict[str, journal.StoredDecision | None] = {}
        for partition, some in by_partition.items():
            if partition < self._partitions:
                read |= zip(some, await self._stored(Keys(self._app, partition), some), strict=True)
        return [(event, stored) for one in ids if (stored := read.get(one)) and (event := _decoded(stored))]

    async def _stored(self, keys: Keys, ids: Sequence[str]) -> list[journal.StoredDecision | None]:
        return await patiently(lambda: journal.read_decisions(self._scripts, keys, ids))


def matches(event: DecisionEvent, sought: Sought) -> bool:
    """Whether a decision is as ``sought`` says, but for its time."""
    return (
        sought.session_id in ("", event.session_id)
        and sought.unit_id in ("", event.unit_id)
        and sought.source in ("", event.source)
        and (not sought.arm or sought.arm in (event.arm, *[slot.arm for slot in event.slots]))
    )


def _in_time(decision_id: str, sought: Sought) -> bool:
    at_ms = decided_ms(decision_id)
    return (sought.since_ms is None or at_ms >= sought.since_ms) and (
        sought.until_ms is None or at_ms < sought.until_ms
    )


def _ours(names: Iterable[str]) -> list[str]:
    """Foreign bytes are no decisions."""
    found = []
    for one in names:
        with suppress(BadId):
            decided_ms(one)
            found.append(one)
    return found


def _decoded(stored: journal.StoredDecision) -> DecisionEvent | None:
    try:
        return decode_decision(stored.payload)
    except BadEvent:
        return None
