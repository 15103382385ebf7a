"""The clock of docs/feature_graph.md: waits take no time, and go on from run to run."""

from __future__ import annotations

from collections.abc import Coroutine
from math import inf
from typing import Any
from unittest.mock import patch

from feature_graph import watch
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
    """In place of ``asyncio.run``; also fails if a task is left alive.

    Who holds the loop is told by the real clock, which a busy machine would show on the page.
    """
    with patch.object(watch, "BLOCKED_S", inf):
        return virtual_time.run(lambda: main, _OneClock)
