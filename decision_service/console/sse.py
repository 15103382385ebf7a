"""Server-sent events: a page's data once a second, made once for all who look."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from decision_service.asgi import Receive, Send
from decision_service.console.files import GUARDS
from decision_service.errors import ServiceError
from decision_service.problem import problem_of

_HEAD = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # proxies that would wait for more
    *GUARDS,
)
_RETRY = b"retry: 2000\n\n"

Make = Callable[[], Awaitable[bytes]]


class Shared:
    """What is made at most so often, however many ask for it; belongs to one event loop.

    Args:
        make: makes it.
        clock: seconds.
        keep_s: how long one is as good as a new one.
    """

    def __init__(self, make: Make, clock: Callable[[], float], keep_s: float) -> None:
        self._make, self._clock, self._keep_s = make, clock, keep_s
        self._made, self._at_s = b"", float("-inf")
        self._lock = asyncio.Lock()

    async def get(self) -> bytes:
        """The latest.

        Raises:
            As ``make``; whoever comes next has it tried again.
        """
        async with self._lock:
            if self._clock() - self._at_s >= self._keep_s:
                self._made = await self._make()
                self._at_s = self._clock()
            return self._made


async def stream(
    page: str, make: Make, may: Callable[[], None], goes_on: Callable[[], bool], every_s: float, send: Send
) -> None:
    """Send a page's data until it ends: by ``goes_on``, or because its reader may not look any more.

    Args:
        page: name of the events. What cannot be made now is an event ``refused`` with the problem.
        make: one of them.
        may: raises once the reader may not.
        goes_on: asked before each.
        every_s: between two.
        send: ASGI's.
    """
    await send({"type": "http.response.start", "status": 200, "headers": list(_HEAD)})
    await send({"type": "http.response.body", "body": _RETRY, "more_body": True})
    while goes_on():
        try:
            may()
        except ServiceError as error:
            await _tell(send, "signed_out", problem_of(error).body)
            break
        try:
            await _tell(send, page, await make())
        except ServiceError as error:
            await _tell(send, "refused", problem_of(error).body)
        await asyncio.sleep(every_s)
    await send({"type": "http.response.body", "body": b""})


async def _tell(send: Send, event: str, data: bytes) -> None:
    """Data is JSON of one line."""
    body = b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def gone(receive: Receive) -> None:
    """Until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
