"""A client that asks for decisions at a steady pace, as lean as one can be: the machine is the platform's."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable

Heard = Callable[[float, float, dict[str, object]], None]
"""When it was asked and when it was answered, on ``time.perf_counter``, and the answer."""


class Line:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader, self._writer, self._key = reader, writer, key

    @classmethod
    async def open(cls, port: int, key: str) -> Line:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port), key)

    async def post(self, path: str, body: dict[str, object]) -> dict[str, object]:
        """The answer's body.

        Raises:
            RuntimeError: it is not 2xx.
        """
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self._key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        self._writer.write(head.encode() + data)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        content = await self._reader.readexactly(length)
        if answer[9:10] != b"2":
            raise RuntimeError(f"{path}: {answer[:12].decode()} {content[:200].decode()}")
        found: dict[str, object] = json.loads(content)
        return found

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def decide_at_a_pace(
    line: Line, numbers: itertools.count[int], period_s: float, end: float, heard: Heard
) -> None:
    """A decision every ``period_s``; what is late is not made up for, so that no burst hides what was."""
    due = time.perf_counter() + random.random() * period_s
    while due < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        n = next(numbers)
        rng = random.Random(n)
        context = {f"f{k}": f"v{rng.randrange(8)}" for k in range(8)} | {"hour": float(n % 24)}
        began = time.perf_counter()
        answer = await line.post("/v1/recommendations", {"session_id": f"s-{n}", "context": context})
        now = time.perf_counter()
        heard(began, now, answer)
        due = max(due + period_s, now)


def answers(url: str) -> bool:
    """Whether a server is ready."""
    try:
        with urllib.request.urlopen(url, timeout=2.0) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
