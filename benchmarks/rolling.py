"""A rolling restart under load: two services and their sidecar are restarted in turn, and nobody notices.

The client does what a load balancer does: it asks each service for its readiness, sends requests to those
that are ready, and closes a connection when told so. It repeats nothing: a request that fails has failed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec

from benchmarks.figures import Figure
from decision_service.cli.children import Child, start_child, stop_child
from decision_service.cli.platform import Platform, free_port, started
from sidecar.contracts.layout import DataFolder

REQUESTS = 20_000
CALLERS = 16
LINGER_S = 1.0
NONE = 0.5
"""Of one request: none may fail."""
_LOOK_S = 0.05
_PATIENCE_S = 30.0
_SHOP = Path("examples/shop")


class Replica:
    """One service on a port of its own."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.port = free_port()
        environ = {
            **os.environ,
            "SIDEARM_DECISION_SERVICE_PORT": str(self.port),
            "SIDEARM_DECISION_SERVICE_LINGER_S": str(LINGER_S),
        }
        arguments = ["--app", str(_SHOP), "--data", str(platform.data.root)]
        command = [sys.executable, "-m", "decision_service", *arguments]
        self.child: Child = start_child(command, platform.data.run / f"{name}.log", environ=environ)
        self.ready = False


class Fleet:
    """The replicas there are, and which of them a caller may be sent to."""

    def __init__(self) -> None:
        self.replicas: list[Replica] = []
        self._turn = count()

    async def keep_looking(self) -> None:
        """Ask each for its readiness, for ever."""
        while True:
            for replica in tuple(self.replicas):
                replica.ready = await _is_ready(replica.port)
            await asyncio.sleep(_LOOK_S)

    def next(self) -> Replica | None:
        """A ready one, each in its turn."""
        ready = [replica for replica in self.replicas if replica.ready]
        return ready[next(self._turn) % len(ready)] if ready else None

    async def wait_for(self, replica: Replica) -> None:
        """Until it is ready.

        Raises:
            TimeoutError: it is not, for too long.
        """
        async with asyncio.timeout(_PATIENCE_S):
            while not replica.ready:  # noqa: ASYNC110 - another process becomes ready, and tells no event
                await asyncio.sleep(_LOOK_S)


def figures(scratch: Path, requests: int = REQUESTS) -> list[Figure]:
    """Requests that failed, of :data:`REQUESTS`, beside one."""
    shutil.rmtree(scratch, ignore_errors=True)
    with started(
        _SHOP, DataFolder(scratch), port=free_port(), environ=os.environ, parts=("sidecar", "learner")
    ) as platform:
        outcomes, restarts = asyncio.run(_roll(platform, requests))
    failed = sum(found for outcome, found in outcomes.items() if not outcome.startswith("201"))
    facts = {"requests": sum(outcomes.values()), "restarts": restarts, "outcomes": dict(outcomes)}
    name, unit = "failures.rolling_restart_failed", "requests"
    return [Figure(name, failed, unit, 1.0, "one", at_most=NONE, facts=facts)]


async def _roll(platform: Platform, requests: int) -> tuple[Counter[str], int]:
    fleet, outcomes, numbers = Fleet(), Counter[str](), iter(range(requests))
    fleet.replicas = [Replica(platform, f"service-{n}") for n in range(2)]
    looking = asyncio.create_task(fleet.keep_looking())
    for replica in fleet.replicas:
        await fleet.wait_for(replica)
    callers = [asyncio.create_task(_caller(platform.key, fleet, numbers, outcomes)) for _ in range(CALLERS)]
    restarts = 0
    while not all(caller.done() for caller in callers):
        await _restart_service(platform, fleet)
        await _restart_sidecar(platform)
        restarts += 1
    await asyncio.gather(*callers)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    for replica in fleet.replicas:
        await asyncio.to_thread(stop_child, replica.child, _PATIENCE_S)
    return outcomes, restarts


async def _restart_service(platform: Platform, fleet: Fleet) -> None:
    """The oldest goes when its successor is ready."""
    oldest, fresh = fleet.replicas[0], Replica(platform, "service")
    fleet.replicas.append(fresh)
    await fleet.wait_for(fresh)
    code = await asyncio.to_thread(stop_child, oldest.child, _PATIENCE_S)
    if code != 0:
        raise RuntimeError(f"a service ended with {code}")
    fleet.replicas.remove(oldest)


async def _restart_sidecar(platform: Platform) -> None:
    """Stopped, and started again: the backstop answers meanwhile."""
    part = next(part for part in platform.parts if part.name == "sidecar")
    code = await asyncio.to_thread(stop_child, part.child, _PATIENCE_S)
    if code != 0:
        raise RuntimeError(f"the sidecar ended with {code}")
    platform.parts.remove(part)
    platform.start("sidecar")
    await asyncio.to_thread(platform.wait_until_ready)


async def _caller(key: str, fleet: Fleet, numbers: Iterator[int], outcomes: Counter[str]) -> None:
    """One connection at a time, one request at a time."""
    line: _Line | None = None
    for number in numbers:
        if line is not None and not line.replica.ready:
            line = await line.closed()
        line = line or await _Line.to(fleet.next())
        outcome = "no service is ready"
        if line is not None:
            outcome, line = await _asked(line, key, number)
        outcomes[outcome] += 1
    if line is not None:
        await line.closed()


async def _asked(line: _Line, key: str, number: int) -> tuple[str, _Line | None]:
    """What came of one request, and the connection if it may be used again."""
    body = msgspec.json.encode({"session_id": f"r-{os.getpid()}-{number}", "context": {"device": "ios"}})
    try:
        status, source, closing = await line.post(key, body)
    except (OSError, EOFError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}", await line.closed()
    return f"{status} {source}", await line.closed() if closing else line


class _Line:
    """A connection to one replica."""

    def __init__(self, replica: Replica, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.replica, self._reader, self._writer = replica, reader, writer

    @classmethod
    async def to(cls, replica: Replica | None) -> _Line | None:
        if replica is None:
            return None
        with suppress(OSError):
            return cls(replica, *await asyncio.open_connection("127.0.0.1", replica.port))
        return None

    async def post(self, key: str, body: bytes) -> tuple[int, str, bool]:
        """Status, source, and whether the connection is at its end.

        Raises:
            OSError, EOFError, TimeoutError: no answer came.
        """
        head = (
            f"POST /v1/recommendations HTTP/1.1\r\nhost: sidearm\r\nauthorization: Bearer {key}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        async with asyncio.timeout(_PATIENCE_S):
            return await _answer(self._reader)

    async def closed(self) -> None:
        """Close it: None is what is left of it."""
        await _closed(self._writer)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    content = await reader.readexactly(length)
    status = int(head[9:12])
    source = msgspec.json.decode(content)["source"] if status == 201 else content.decode()[:100]
    return status, source, b"connection: close" in head


async def _is_ready(port: int) -> bool:
    with suppress(OSError, EOFError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET /readyz HTTP/1.1\r\nhost: sidearm\r\nconnection: close\r\n\r\n")
            return (await reader.readline()).startswith(b"HTTP/1.1 200")
        finally:
            await _closed(writer)
    return False


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Close it, and let the loop forget it."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
