"""A function that blocks, run in a thread of the loop's default executor.

A thread cannot be stopped. When its fetch is cancelled the wait ends, and the thread runs on to its end: what
it says is dropped, and its place in the source stays taken until then. What was not begun is never begun.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial


class Threaded:
    """An async function around a plain one."""

    __slots__ = ("_function", "_leave")

    def __init__(self, function: Callable[..., object], leave: Callable[[], None] | None = None) -> None:
        """``leave`` is called once a call, when its thread has ended or will not begin; from any thread."""
        self._function = function
        self._leave = leave

    async def __call__(self, *args: object, **kwargs: object) -> object:
        """Call in a thread, which sees the caller's context variables."""
        work = _Work(partial(self._function, *args, **kwargs), self._leave)
        try:
            run = partial(copy_context().run, work.run)
            return await asyncio.get_running_loop().run_in_executor(None, run)
        finally:
            work.drop()


class _Work:
    """One call, of which either its thread or its waiter is the last to know."""

    __slots__ = ("_dropped", "_function", "_leave", "_lock", "_running")

    def __init__(self, function: Callable[[], object], leave: Callable[[], None] | None) -> None:
        self._function = function
        self._leave = leave
        self._lock = threading.Lock()
        self._running = self._dropped = False

    def run(self) -> object:
        """In the thread."""
        with self._lock:
            if self._dropped:
                return None
            self._running = True
        try:
            return self._function()
        except StopIteration as error:  # a future takes none
            raise RuntimeError("a blocking fetch raised StopIteration") from error
        finally:
            with self._lock:
                self._running = False
                last = self._dropped
            if last and self._leave is not None:
                self._leave()

    def drop(self) -> None:
        """In the loop: nobody waits any more, or all is done."""
        with self._lock:
            self._dropped = True
            last = not self._running
        if last and self._leave is not None:
            self._leave()
