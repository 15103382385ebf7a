"""An event loop whose clock jumps: an hour's wait takes no time, and the same program gives the same run."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """When nothing is ready, the next timer is due; without one, the run hangs and that is told."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 1000.0

    def time(self) -> float:
        return self._now_s

    def _run_once(self) -> None:
        if not self._ready:
            due = [handle.when() for handle in self._scheduled if not handle.cancelled()]
            if not due:
                raise RuntimeError("nothing will ever happen: the program waits for what nobody will do")
            self._now_s = max(self._now_s, min(due))
        super()._run_once()


def run(main: Callable[[], Awaitable[Any]], loop_factory: Callable[[], Any] = VirtualLoop) -> Any:
    """Run to the end, and fail if a task is left alive or an exception was never retrieved."""
    loop = loop_factory()
    complaints: list[str] = []
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    try:
        answer = loop.run_until_complete(main())
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        gc.collect() if complaints else None
        assert not left, f"still alive: {left}"
        assert not complaints, complaints
        return answer
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def never() -> None:
    """Wait for what nobody will do, until cancelled; a far timer keeps the loop from calling it a hang."""
    await asyncio.sleep(1e9)
