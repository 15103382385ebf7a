"""An HTTP service that takes its time: ``python -m benchmarks.upstream`` prints its port and serves.

``GET /wait/100/x`` answers ``{"value": 1, "deadline_ms": ...}`` after 100 ms, ``/hang/x`` takes the request
and never answers, ``/status/503/x`` answers with that status. It speaks just enough HTTP/1.1, on bare
asyncio, so that on a machine of two cores the figures are its clients'.
"""

from __future__ import annotations

import asyncio
import json

_HEAD = b"\r\n\r\n"


class Answering(asyncio.Protocol):
    """One kept connection; one request at a time, without a body."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._heard += data
        while _HEAD in self._heard:
            head, _, self._heard = self._heard.partition(_HEAD)
            self._answer(head.decode())

    def _answer(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        kind, *rest = first.split(" ")[1].strip("/").split("/")
        body = json.dumps({"value": 1.0, "deadline_ms": int(headers.get("x-deadline-ms", "0"))}).encode()
        if kind == "wait":
            self._loop.call_later(float(rest[0]) / 1000, self._send, 200, body)
        elif kind == "status":
            self._send(int(rest[0]), body)

    def _send(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        self._transport.write(head.encode() + _HEAD + body)


async def main() -> None:
    """Serve on a free port until killed."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
