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


def without_frame(error: BaseException) -> None:
    """Take the catching frame off the traceback, so that it begins in the user's code.

    For an ``except`` clause that goes on with a bare ``raise``, which does not put it back.
    """
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next


def _gone(task: asyncio.Task[Any]) -> None:
    _leaving.discard(task)
    if not task.cancelled():
        task.exception()
