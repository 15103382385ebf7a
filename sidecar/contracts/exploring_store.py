"""Reading how an application explores, and changing it: look, work it out, put it in place, or look again."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from sidecar.contracts import keys
from sidecar.contracts.errors import BadSegment
from sidecar.contracts.exploring import Exploring, checked_exploring, decode_exploring, encode_exploring
from sidecar.contracts.scripts.call import Call, text
from sidecar.contracts.store import AsyncScripts, Client, Scripts

_TRIES = 20
"""Somebody else would have to be faster each time."""
_AGAIN = "how this application explores was changed again and again by somebody else meanwhile: try again"
_STALE = "STALE"

Change = Callable[[Exploring], Exploring]
"""What is so to what shall be; raises BadSegment where that cannot be."""


def explore_call(app: str, exploring: Exploring, what: str) -> Call:
    """Put ``exploring`` in place of the document whose revision it still carries."""
    where = (keys.exploring(app), keys.model_notices(app), keys.weights(app), keys.app_skew(app))
    return Call("explore", where, (str(exploring.revision), encode_exploring(exploring), what))


def read_exploring(client: Client, app: str) -> Exploring:
    """How the application explores.

    Raises:
        BadSegment: what lies there cannot be read.
        StoreError: the store is away.
    """
    return decode_exploring(cast("dict[bytes, bytes]", client.hgetall(keys.exploring(app))))


def change_exploring(scripts: Scripts, app: str, change: Change, what: str) -> Exploring:
    """Change it in one step, and give the new one; every service is told.

    Args:
        scripts: on the store.
        app: the application.
        change: from what is so to what shall be; called again when somebody else was faster.
        what: the change, for people.

    Raises:
        BadSegment: there is no such change.
        StoreError: the store is away.
    """
    for _ in range(_TRIES):
        wanted = checked_exploring(change(read_exploring(scripts.client, app)))
        said = text(scripts.run(explore_call(app, wanted, what)))
        if said != _STALE:
            return Exploring(wanted.everywhere, wanted.segments, int(said))
    raise BadSegment(_AGAIN)


async def read_exploring_async(scripts: AsyncScripts, app: str) -> Exploring:
    """The same on an event loop.

    Raises:
        BadSegment, StoreError: as :func:`read_exploring`.
    """
    return decode_exploring(cast("dict[bytes, bytes]", await scripts.client.hgetall(keys.exploring(app))))


async def change_exploring_async(scripts: AsyncScripts, app: str, change: Change, what: str) -> Exploring:
    """The same on an event loop.

    Raises:
        BadSegment, StoreError: as :func:`change_exploring`.
    """
    for _ in range(_TRIES):
        wanted = checked_exploring(change(await read_exploring_async(scripts, app)))
        said = text(await scripts.run(explore_call(app, wanted, what)))
        if said != _STALE:
            return Exploring(wanted.everywhere, wanted.segments, int(said))
    raise BadSegment(_AGAIN)
