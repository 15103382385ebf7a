"""A task that tells what waits: the asynchronous twin of ``thread.py``. Belongs to one event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from sidearm_client.backlog import Backlog
from sidearm_client.errors import Refused, Unavailable
from sidearm_client.retrying import Retries
from sidearm_client.settings import Batching
from sidearm_client.wire import Call, Told

_PAUSES = Retries(first_s=0.5, longest_s=10.0)
_HURRIED_S = 0.2


class TaskSender:
    """Tells what is in ``backlog`` by ``exchange``, which answers or raises."""

    def __init__(
        self, backlog: Backlog, batching: Batching, exchange: Callable[[Call], Awaitable[Any]]
    ) -> None:
        self._backlog, self._batching, self._exchange = backlog, batching, exchange
        self._task: asyncio.Task[None] | None = None
        self._due = asyncio.Event()
        self._told = asyncio.Event()
        self._hurry = 0
        self._failed = 0
        self._ended = False

    def add(self, told: Told) -> bool:
        """Take one more; False when too much waits already."""
        if self._ended or not self._backlog.add(told):
            return False
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="sidearm-client")
        elif self._backlog.full and not self._failed:
            self._due.set()
        return True

    async def flush(self, timeout_s: float) -> bool:
        """Tell all of it now; whether that was done within ``timeout_s`` seconds."""
        self._hurry, self._failed = self._hurry + 1, 0
        self._due.set()
        try:
            async with asyncio.timeout(timeout_s):
                while self._backlog:
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            return False
        finally:
            self._hurry -= 1
        return True

    async def close(self, timeout_s: float) -> None:
        """Tell what can be told within ``timeout_s`` seconds; the rest is lost."""
        await self.flush(timeout_s)
        self._ended = True
        self._backlog.give_up(TimeoutError(f"the client was closed, and {timeout_s:g} s were not enough"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._backlog and not self._ended:
            await self._pause()
            await self._tell(self._backlog.first())

    async def _pause(self) -> None:
        """Until there is a whole batch, somebody waits for it, or its time has come."""
        self._due.clear()
        if not self._failed and (self._hurry or self._backlog.full):
            return
        longest_s = self._batching.wait_s
        if self._failed:
            longest_s = _HURRIED_S if self._hurry else _PAUSES.bound_s(self._failed - 1)
            longest_s *= random.random()  # noqa: S311  # jitter is no secret
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._due.wait()

    async def _tell(self, batch: list[Told]) -> None:
        """Of what fails for a while nothing is lost."""
        try:
            await self._converse(batch)
        except Unavailable:
            self._failed += 1
            return
        except Exception as error:  # an odd answer must not stop all that comes after it
            self._backlog.lose(batch, error, "lost")
        self._failed = 0
        self._backlog.done(batch)
        self._told.set()

    async def _converse(self, batch: list[Told]) -> None:
        telling = self._backlog.telling(batch)
        said: Any = None
        with suppress(StopIteration):
            while True:
                call = telling.send(said)
                try:
                    said = await self._exchange(call)
                except Refused as refusal:
                    said = refusal
