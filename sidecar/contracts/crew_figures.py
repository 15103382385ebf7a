"""Figures of several processes at one address: whoever is scraped asks the others, and says whose is whose.

Each keeps its own, for counters that are shared would have to be written under a lock. Every sample gets the
label ``worker``; sums and quantiles over workers are Prometheus' business.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sidecar.contracts.layout import socket_path

_PATIENCE_S = 1.0
"""For one of them; who does not answer is left out, as a process that is not there would be."""

Figures = Callable[[], Awaitable[bytes]]


class Crew:
    """The workers of one process, seen from one of them; belongs to one event loop.

    Args:
        folder: where their sockets lie.
        name: of the program.
        place: of this one, from 0.
        count: how many there are.
    """

    def __init__(self, folder: Path, name: str, place: int, count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = [socket_path(folder / f"{name}-{one}.figures") for one in range(count)]
        self._place = place

    @asynccontextmanager
    async def listening(self, figures: Figures) -> AsyncIterator[None]:
        """Tell the others ``figures`` whenever they ask, until the block ends."""

        async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(await figures())
                await writer.drain()
            except ConnectionError:  # who asked has gone
                return
            finally:
                writer.close()

        path = self._paths[self._place]
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(tell, path)
        path.chmod(0o600)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def with_others(self, own: bytes) -> bytes:
        """Everybody's figures, of which ``own`` are ours."""
        texts = await asyncio.gather(
            *(_ask(path) for place, path in enumerate(self._paths) if place != self._place)
        )
        texts.insert(self._place, own)
        return together(texts)


def crew_of(folder: Path, name: str, place: int, count: int) -> Crew | None:
    """The crew that a process belongs to; None for one that works alone.

    Named after its parent, for another one of the same program may be on its way out.
    """
    return Crew(folder, f"{name}-{os.getppid()}", place, count) if count > 1 else None


async def _ask(path: Path) -> bytes:
    """What one of them tells; nothing if it does not answer."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


def together(texts: Sequence[bytes]) -> bytes:
    r"""Prometheus texts as one, each family once, samples labelled with the place of their text.

    >>> one = b'# HELP a_total A.\n# TYPE a_total counter\na_total{of="x"} 1.0\n'
    >>> two = b'# HELP a_total A.\n# TYPE a_total counter\na_total{of="x"} 2.0\nb 3.0\n'
    >>> print(together([one, two]).decode(), end="")
    # HELP a_total A.
    # TYPE a_total counter
    a_total{worker="0",of="x"} 1.0
    a_total{worker="1",of="x"} 2.0
    b{worker="1"} 3.0
    """
    families: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for place, text in enumerate(texts):
        family = ""
        for line in text.decode().splitlines():
            if line.startswith("# "):
                family = line.split(" ", 3)[2]
                head = families.setdefault(family, [])
                if line not in head:
                    head.append(line)
            else:
                samples.setdefault(family, []).append(_labelled(line, place))
                families.setdefault(family, [])
    lines = [line for family, head in families.items() for line in (*head, *samples.get(family, ()))]
    return "".join(f"{line}\n" for line in lines).encode()


def _labelled(sample: str, place: int) -> str:
    name, brace, labels = sample.partition("{")
    if brace and " " not in name:
        return f'{name}{{worker="{place}",{labels}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{place}"}} {value}'
