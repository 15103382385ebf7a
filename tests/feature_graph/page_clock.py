"""The clock of docs/feature_graph.md: waits take no time, and go on from run to run."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from tests.feature_graph import virtual_time


class _OneClock(virtual_time.VirtualLoop):
    """Begins when the loop before it ended, so that a cache grows old between two runs."""

    ended_s = 1000.0

    def __init__(self) -> None:
        super().__init__()
        self._now_s = _OneClock.ended_s

    def close(self) -> None:
        _OneClock.ended_s = max(_OneClock.ended_s, self._now_s)
        super().close()


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """In place of ``asyncio.run``; also fails if a task is left alive."""
    return virtual_time.run(lambda: main, _OneClock)
