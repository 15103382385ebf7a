"""One fetch for all who want the same at the same time, whichever runs they belong to.

The fetch is a task of its own and nobody's to cancel: a consumer who gives up takes himself off the list,
and only when the list is empty is the fetch cancelled. Those who wait get a result each, never the task
itself, so that one impatient consumer cannot poison what the others wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from math import inf
from types import TracebackType
from typing import Any

from feature_graph.deadline import current_call, remaining
from feature_graph.guards.attempt import Call
from feature_graph.guards.ending import end_all
from feature_graph.scope import Scope, adopt, current_scope, note

A_DAY_S = 86_400.0
"""Time left for a fetch that one consumer would wait for without end; a loop's timer takes no infinity."""

_TELLER = 0
"""Under which the fetch tells what it tells, in a scope of its own: its consumers come and go."""

Landed = Callable[["Flight"], None]


class Flight:
    """A fetch under way, and who waits for it; lives in one loop."""

    __slots__ = (
        "_landed",
        "_leaving",
        "_loop",
        "_name",
        "_scope",
        "_task",
        "_traceback",
        "_until_s",
        "_waiters",
        "error",
        "value",
    )

    def __init__(self, name: str, landed: Landed) -> None:
        """``landed`` is called once, in the moment in which the fetch has ended or is given up."""
        self._name = name
        self._landed: Landed | None = landed
        self._loop = asyncio.get_running_loop()
        self._waiters: dict[asyncio.Future[None], float] = {}
        self._until_s = inf
        self._scope = Scope()
        self._leaving: list[tuple[str, asyncio.Task[Any]]] = []
        self._task: asyncio.Task[object] | None = None
        self.value: object = None
        self.error: BaseException | None = None
        self._traceback: TracebackType | None = None

    def start(self, call: Call, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Begin the fetch; it sees the context variables of whoever wanted it first."""
        context = copy_context()
        context.run(self._settle_in)
        self._task = self._loop.create_task(_fly(call, args, kwargs), context=context)
        self._task.add_done_callback(self._land)

    async def wait(self) -> object:
        """The value, or the error, or out of here if the consumer is cancelled."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        left_s = remaining()
        self._waiters[waiter] = inf if left_s is None else self._loop.time() + left_s
        try:
            await waiter
        except asyncio.CancelledError:
            if self._leave(waiter) and self._task is not None:
                await end_all((self._task,))
            raise
        finally:
            self._leave(waiter)
        return self._answer()

    def _settle_in(self) -> None:
        current_scope.set(self._scope)
        at_s = inf if remaining() is None else 0.0
        current_call.set((self._overdue_s, at_s, _TELLER))

    def _overdue_s(self) -> float:
        """A clock that stands at minus what the most patient consumer has left."""
        until_s = max(self._waiters.values()) if self._waiters else self._until_s
        return -min(A_DAY_S, until_s - self._loop.time())

    def _leave(self, waiter: asyncio.Future[None]) -> bool:
        """Off the list; True if this was the last, so that the fetch is given up."""
        until_s = self._waiters.pop(waiter, None)
        if until_s is None or self._waiters or self._landed is None:
            return False
        self._until_s = until_s  # whether his time was up tells whose fault it is
        landed, self._landed = self._landed, None
        self.error = asyncio.CancelledError()
        landed(self)
        if self._task is not None:
            self._task.cancel()
        return True

    def _land(self, task: asyncio.Task[object]) -> None:
        self._leaving = [(name, other) for name, other in self._scope.adopted if not other.done()]
        self._scope.adopted.clear()  # a task knows its context, and that the scope
        if self._landed is None:  # given up: nobody wants to know
            if not task.cancelled():
                task.exception()
            return
        if task.cancelled():
            self.error = asyncio.CancelledError()
        elif (error := task.exception()) is not None:
            self.error, self._traceback = error, error.__traceback__
        else:
            self.value = task.result()
        self._task = None
        landed, self._landed = self._landed, None
        landed(self)
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _answer(self) -> object:
        for name, task in self._leaving:  # the run of each consumer sees them ended
            if not task.done():
                adopt(name, task)
        note(**self._scope.notes.get(_TELLER, {}))
        if self.error is not None:
            # Every consumer raises the same error: what the others' frames added to it is taken off.
            raise self.error.with_traceback(self._traceback)
        return self.value


async def _fly(call: Call, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    return await call(*args, **kwargs)
