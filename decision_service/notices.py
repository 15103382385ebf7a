"""Hear of changes at once: a notice in the store wakes whoever follows, a slow poll is the net below it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from sidecar.contracts import keys
from sidecar.contracts.store import AsyncClient, StoreError

log = logging.getLogger("sidearm.decision_service")

Refresh = Callable[[], Awaitable[None]]
"""Looks at the store, and follows what is new there; raises StoreError where the store fails."""
_FROM_THE_START = b"0-0"
_POLL_S = 5.0
_RETRY_S = 0.25


async def follow(reader: AsyncClient, app: str, refresh: Refresh, block_ms: int) -> None:
    """Call ``refresh`` now and at every notice, for ever. Outages of the store are waited out.

    Args:
        reader: a connection of its own, whose socket timeout is longer than ``block_ms``.
        app: whose notices.
        refresh: what is to be done.
        block_ms: how long one blocking read waits.
    """
    while True:
        try:
            seen = await _last(reader, app)  # before the look, so that nothing falls between the two
            await refresh()
            await _wait(reader, app, seen, block_ms)
        except (StoreError, OSError) as error:
            log.debug("no notices: %s: %s", type(error).__name__, error)
            await asyncio.sleep(_RETRY_S)
            with suppress(StoreError, OSError):  # notices may be what fails: then this is a poll
                await refresh()


async def _last(reader: AsyncClient, app: str) -> bytes:
    found = await reader.xrevrange(keys.model_notices(app), count=1)
    entries = cast("list[tuple[bytes, object]]", found)
    return entries[0][0] if entries else _FROM_THE_START


async def _wait(reader: AsyncClient, app: str, seen: bytes, block_ms: int) -> None:
    """Until there is something after ``seen``, or the slow poll is due."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _POLL_S
    while (left_ms := int((until - loop.time()) * 1000)) > 0:
        after: dict[bytes | str | memoryview, int | bytes | str | memoryview] = {
            keys.model_notices(app): seen
        }
        if await reader.xread(after, block=min(block_ms, left_ms)):
            return
