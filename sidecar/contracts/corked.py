"""A transport that sends what was written in one turn of the event loop as one piece.

An ASGI server writes an answer's head and its body one after the other, and a transport sends each at once:
two system calls, two packets, and a reader who is woken twice.
"""

from __future__ import annotations

import asyncio


class Corked:
    """In front of ``transport``; all that is no writing is the transport's own business."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send ``data`` at the end of this turn, behind what was written before it."""
        if not self._held:
            self._loop.call_soon(self._uncork)
        self._held.append(data)

    def write_now(self, data: bytes) -> None:
        """Send ``data`` behind what was written before it, and do not wait for the end of the turn."""
        self._held.append(data)
        self._uncork()

    def close(self) -> None:
        """Close when everything is sent."""
        self._uncork()
        self._transport.close()

    def _uncork(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)
