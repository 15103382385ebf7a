"""The end of tasks that were to run until they are told to stop."""

from __future__ import annotations

import asyncio

_CANCEL_AGAIN_S = 0.1


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel ``tasks`` and see them end, however they do.

    More than once if need be: ``asyncio.wait_for`` of Python 3.11 forgets a cancellation that comes in the
    moment of its answer, and the store's client library sends every command through it.
    """
    left = set(tasks)
    while left := {task for task in left if not task.done()}:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
