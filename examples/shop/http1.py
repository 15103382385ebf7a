"""A lean HTTP/1.1 client: one keep-alive connection, JSON in and out.

A general client costs more processor time a call than the service it calls; where both share two cores, the
figures would be the client's. Applications should use a real one: this speaks only to our own service.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

import msgspec

from sidecar.contracts.errors import SidearmError


class ConnectionLost(SidearmError):
    """The service closed the connection, or said something that is not HTTP."""


class Connection:
    """One connection; one call at a time."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._address = (host, port)
        self._head = (
            f"Host: {host}:{port}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        ).encode()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def post(self, path: str, body: object) -> tuple[int, bytes]:
        """Send ``body`` as JSON; status and body of the answer.

        Raises:
            ConnectionLost: the service went away.
        """
        data = msgspec.json.encode(body)
        first = f"POST {path} HTTP/1.1\r\nContent-Length: {len(data)}\r\n".encode()
        self._writer.write(first + self._head + b"\r\n" + data)
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            return _status(head), await self._reader.readexactly(_length(head))
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise ConnectionLost(f"POST {path}: {error or type(error).__name__}") from error


def _status(head: bytes) -> int:
    return int(head[9:12])


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise ValueError("an answer without a length")
    return int(rest.partition(b"\r\n")[0])
