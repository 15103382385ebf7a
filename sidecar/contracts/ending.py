"""The end of tasks that were to run until they are told to stop, or until their time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

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


async def at_most(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    """Do ``work`` for so long; what ``asyncio.timeout`` promises, though a cancellation may be forgotten.

    Raises:
        TimeoutError: it was not done; it has ended.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait((task,), timeout=seconds)
        if not task.done():
            raise TimeoutError(f"not done within {seconds:g} s")
        await task
    finally:
        await end(task)
