"""Tasks that a guard started: cancelled once, seen ended, and their errors taken note of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

_leaving: set[asyncio.Task[Any]] = set()
"""Keeps tasks that take their time to end from being collected while they do."""


def stop(task: asyncio.Task[Any]) -> None:
    """Cancel a task, unless it is being cancelled: a second time would break into its cleaning up."""
    if not task.done():
        _leaving.add(task)
        task.add_done_callback(_gone)
        if not task.cancelling():
            task.cancel()
    elif not task.cancelled():
        task.exception()  # asyncio reports errors that nobody looked at


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Stop tasks and wait until they have ended; for a guard that is itself being cancelled.

    Raises:
        asyncio.CancelledError: the guard was cancelled again; the tasks go on ending by themselves.
    """
    alive = [task for task in tasks if not task.done()]
    for task in tasks:
        stop(task)
    if alive:
        await asyncio.wait(alive)


def is_cancelled() -> bool:
    """True if somebody cancelled the task that asks, whatever was made of that since."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def without_our_frames(error: BaseException) -> None:
    """Let the traceback begin in the user's code, for an ``except`` clause that ends with a bare ``raise``.

    A person does not look for his mistake in here; and a frame that knows the error it raised makes a circle,
    which only the garbage collector would break.
    """
    inner = error.__traceback__
    while inner is not None and str(inner.tb_frame.f_globals.get("__name__")).startswith(f"{__package__}."):
        inner = inner.tb_next
    BaseException.with_traceback(error, inner)  # a frozen error takes no attribute, but this


def _gone(task: asyncio.Task[Any]) -> None:
    _leaving.discard(task)
    if not task.cancelled():
        task.exception()
