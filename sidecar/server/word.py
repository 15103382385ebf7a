"""What a sidecar says of itself, in the store: which version it serves, and why not another."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING

import redis

from sidecar.contracts.scripts.models import serving_call
from sidecar.contracts.store import AsyncScripts

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("sidearm.sidecar")

_SAY_S = 1.0
"""Least time between two words of what is served, each of them a write: a pin is told at once."""


class Word:
    """Of one sidecar.

    Args:
        store: a connection.
        app: the application's name.
        name: of the sidecar; empty: host and process.
        repeat_s: after which it is said again, though nothing has changed.
    """

    def __init__(self, store: Redis, app: str, name: str, repeat_s: float) -> None:
        self._scripts = AsyncScripts.on(store)
        self._app = app
        self._name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._repeat_s = repeat_s
        self._said: tuple[int, bool, str] | None = None
        self._said_at = float("-inf")

    async def say(self, version: int, pinned: bool, complaint: str) -> None:
        """What changed, at most once a second, and else once in a while.

        Raises:
            StoreError: the store failed.
        """
        said, now = (version, pinned, complaint), asyncio.get_running_loop().time()
        if not self._is_urgent(said):
            least_s = _SAY_S if said != self._said else self._repeat_s
            if now - self._said_at < least_s:
                return
        try:
            await self._scripts.run(serving_call(self._app, self._name, version, pinned, complaint))
        except redis.ResponseError as error:  # it may only read, for instance: no reason to stop
            log.warning("the store does not take what is served: %s", error)
        self._said, self._said_at = said, now

    def _is_urgent(self, said: tuple[int, bool, str]) -> bool:
        """A pin is told at once, and so is a complaint."""
        _, pinned, _ = said
        return self._said is None or said[1:] != self._said[1:] or (pinned and said != self._said)
