"""News in the store: who looks for them, what was written, and how far each address has heard."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import cast

import msgspec

from decision_service.event_log import patiently
from decision_service.hooks.news import News, Notice, Told
from sidecar.contracts import keys
from sidecar.contracts.store import AsyncScripts

_KEPT = 1_000
_LEASE_MS = 10_000
_TOLD = "told"

Entry = tuple[str, News]
"""Place in the stream, and what is there."""


class Outbox:
    """Of one application.

    Args:
        scripts: on the store.
        app: the application.
        replica: who this is.
    """

    def __init__(self, scripts: AsyncScripts, app: str, replica: str) -> None:
        self._client, self._app, self._replica = scripts.client, app, replica
        self._news, self._state, self._lease = keys.hooks(app), keys.hooks_state(app), keys.hooks_lease(app)

    async def is_mine(self) -> bool:
        """Whether this replica is the one that looks. Two at once would only write the same news twice.

        Raises:
            StoreAway: the store did not answer.
        """
        client, key, me = self._client, self._lease, self._replica
        if await patiently(lambda: client.set(key, me, nx=True, px=_LEASE_MS)):
            return True
        holder = cast("bytes | None", await patiently(lambda: client.get(key)))
        if holder is None or holder.decode(errors="replace") != me:
            return False
        return bool(await patiently(lambda: client.pexpire(key, _LEASE_MS)))

    async def told(self) -> Told | None:
        """How far the looks have come; None: nobody ever looked, or foreign bytes lie there.

        Raises:
            StoreAway: the store did not answer.
        """
        stored = await patiently(lambda: self._client.hget(self._state, _TOLD))
        try:
            return msgspec.json.decode(cast("bytes | None", stored) or b"", type=Told)
        except msgspec.MsgspecError:
            return None

    async def notices(self, after: str) -> list[Notice]:
        """What was noted of models since ``after``; empty: only the last one.

        Raises:
            StoreAway: the store did not answer.
        """
        stream = keys.model_notices(self._app)
        if after:
            found = await patiently(lambda: self._client.xrange(stream, min=f"({after}", count=_KEPT))
        else:
            found = await patiently(lambda: self._client.xrevrange(stream, count=1))
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", found)
        return [(entry_id.decode(), fields) for entry_id, fields in entries]

    async def write(self, news: Sequence[News], told: Told) -> None:
        """All of it, and that it was: in one step.

        Raises:
            StoreAway: the store did not answer.
        """

        async def run() -> object:
            pipe = self._client.pipeline(transaction=True)
            for one in news:
                pipe.xadd(self._news, {"news": msgspec.json.encode(one)}, maxlen=_KEPT, approximate=True)
            pipe.hset(self._state, _TOLD, msgspec.json.encode(told).decode())
            return await pipe.execute()

        await patiently(run)

    async def place_of(self, address: str) -> str:
        """How far an address has heard; who is new begins with what comes next.

        Raises:
            StoreAway: the store did not answer.
        """
        stored = cast(
            "bytes | None", await patiently(lambda: self._client.hget(self._state, _field(address)))
        )
        if stored is not None:
            return stored.decode(errors="replace")
        found = await patiently(lambda: self._client.xrevrange(self._news, count=1))
        last = cast("list[tuple[bytes, object]]", found)
        place = last[0][0].decode() if last else "0-0"
        await self.heard(address, place)
        return place

    async def after(self, place: str) -> Entry | None:
        """The next news, if there are any.

        Raises:
            StoreAway: the store did not answer.
        """
        found = await patiently(lambda: self._client.xrange(self._news, min=f"({place}", count=1))
        for entry_id, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", found):
            try:
                return entry_id.decode(), msgspec.json.decode(fields.get(b"news", b""), type=News)
            except msgspec.MsgspecError:  # foreign bytes: nobody is told of them
                return await self.after(entry_id.decode())
        return None

    async def heard(self, address: str, place: str) -> None:
        """An address was told of everything up to ``place``, or will not be.

        Raises:
            StoreAway: the store did not answer.
        """
        await patiently(lambda: self._client.hset(self._state, _field(address), place))


def _field(address: str) -> str:
    """Addresses may hold secrets."""
    return f"at:{hashlib.blake2b(address.encode(), digest_size=8).hexdigest()}"
