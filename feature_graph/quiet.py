"""The end of a run: nothing that it started is alive, or it is named."""

from __future__ import annotations

import asyncio
import logging

GRACE_S = 0.005
"""How long a cancelled fetch may take to end before it is abandoned; the answer waits for it."""

_log = logging.getLogger("feature_graph")
_abandoned: set[asyncio.Task[None]] = set()
"""Keeps tasks that resist cancellation from being collected while they run."""


async def wait_for_quiet(
    stopped: list[tuple[str, asyncio.Task[None]]], grace_s: float, loop: asyncio.AbstractEventLoop
) -> tuple[str, ...]:
    """Wait until the cancelled tasks have ended, or the grace has; names of those that have not.

    A cancellation of the caller meanwhile is held back until then, and raised.
    """
    until_s = loop.time() + grace_s
    held_back: asyncio.CancelledError | None = None
    alive = {task for _, task in stopped if not task.done()}
    while alive and (left_s := until_s - loop.time()) > 0:
        try:
            _, alive = await asyncio.wait(alive, timeout=left_s)
        except asyncio.CancelledError as cancelled:
            held_back = cancelled
            alive = {task for task in alive if not task.done()}
    for task in alive:
        _abandoned.add(task)
        task.add_done_callback(_abandoned.discard)
    names = tuple(name for name, task in stopped if task in alive)
    if names:
        _log.warning("abandoned after %s s, cancelled and still running: %s", grace_s, ", ".join(names))
    if held_back is not None:
        raise held_back
    return names
