"""A run along a straight line: one task for all its fetches, and no bookkeeping of who waits for whom.

Only as long as everything goes well. The first failure, stand-in or lateness hands what is known so far to
the scheduler (:mod:`feature_graph.async_run`), which knows what follows from it: both answer alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from math import inf
from typing import Protocol, cast

from feature_graph.alarm import Alarm
from feature_graph.deadline import current_call
from feature_graph.outcome import Status
from feature_graph.plan import Plan
from feature_graph.reasons import (
    can_be_awaited,
    cancelled,
    deadline_passed,
    not_a_value,
    ours,
    plain_types,
    too_slow,
    without_our_frames,
)
from feature_graph.record import Record
from feature_graph.scope import Scope, StandIn, current_scope
from feature_graph.straight import CALL, FETCH, PASS, TEST
from feature_graph.watch import BLOCKED_S, watched

_OK, _FAILED, _TIMED_OUT, _CANCELLED = Status.OK, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED

Failure = tuple[int, Status, BaseException, int]
Stopped = list[tuple[str, asyncio.Task[None]]]


class Scheduled(Protocol):
    """A run that goes on from here."""

    def close(self) -> tuple[Record, Stopped]:
        """The end of it."""


class StraightRun:
    """One run.

    Args:
        plan: with a straight line.
        given: values of its inputs.
        loop: None for a plan without fetches.
        clock: of the loop.
        left_s: seconds that it has; None: all the time there is.
        watching: whether each step of a fetch is timed.
        go_on: makes a scheduler of this run, and lets it begin with what happened.
    """

    __slots__ = (
        "_alarm",
        "_clock",
        "_closed",
        "_context",
        "_due_s",
        "_go_on",
        "_index",
        "_name",
        "_rest",
        "_rings_at_s",
        "_stopped",
        "_task",
        "at_s",
        "finished",
        "given",
        "left_s",
        "loop",
        "plan",
        "record",
        "scope",
        "watching",
    )

    def __init__(
        self,
        plan: Plan,
        given: Mapping[str, object],
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        left_s: float | None,
        watching: bool,
        go_on: Callable[[StraightRun, Failure | StandIn | None], Scheduled],
    ) -> None:
        now = clock()
        self.plan, self.given, self.left_s = plan, given, left_s
        self.at_s = inf if left_s is None else now + left_s
        self.record = Record(plan, given, now)
        self.scope = Scope(self.record.notes)
        self.loop, self._clock, self.watching, self._go_on = loop, clock, watching, go_on
        self._closed = False
        self._alarm: Alarm | None = None
        self._rings_at_s = self._due_s = inf
        self._index, self._name = -1, ""
        self._rest: Scheduled | None = None
        self._stopped: Stopped = []
        self._context = copy_context()
        self.finished: asyncio.Future[None] = loop.create_future()
        self._task: asyncio.Task[None]
        self._task = loop.create_task(self._walk(0))

    def close(self) -> tuple[Record, Stopped]:
        """Cancel whatever runs; the record, and the tasks that still have to end."""
        self._closed = self.scope.closed = True
        if self._alarm is not None:
            self._alarm.off()
        if self._rest is not None:
            record, stopped = self._rest.close()
            self._rest = None
            del self.record
            return record, stopped + [one for one in self._stopped if not one[1].done()]
        record = self.record
        if not self._task.done() or self.scope.adopted:
            self._interrupt()
        if record.notes:
            record.forget_stand_ins()
        del self.record
        return record, [one for one in self._stopped if not one[1].done()]

    def _interrupt(self) -> None:
        """The caller was cancelled, or tasks of a fetch outlived it."""
        if not self._task.done():
            self._task.cancel()
            self._stopped.append((self._name, self._task))
            if self._index >= 0:
                self.record.status[self._index] = _CANCELLED
                self.record.ended[self._index] = self._clock()
        for name, task in self.scope.adopted:
            if not task.done() and not task.cancelling():
                task.cancel()
            self._stopped.append((name, task))
        self.scope.adopted.clear()

    # ------------------------------------------------------------------ the line

    @ours
    async def _walk(self, place: int) -> None:
        plan, record, clock = self.plan, self.record, self._clock
        values, status, started, ended = record.values_at, record.status, record.started, record.ended
        line = plan.line
        assert line is not None
        if not hasattr(self, "_task"):  # started eagerly
            self._task = cast("asyncio.Task[None]", asyncio.current_task())
        index, fetching = -1, False
        now = clock()
        current_scope.set(self.scope)
        current_call.set((clock, self.at_s, 0))
        try:
            while place < len(line):
                kind, index, function, arity, first, second, pick, timeout_s, name, jump = line[place]
                place += 1
                if kind == CALL:
                    if status[index] is not None:
                        continue
                    started[index] = began = now
                    if arity == 1:
                        value = function(values[first])  # type: ignore[misc]
                    elif arity == 2:
                        value = function(values[first], values[second])  # type: ignore[misc]
                    else:
                        value = function(*pick(values))  # type: ignore[misc]
                    if type(value) not in plain_types and can_be_awaited(value):
                        raise not_a_value(self.plan.steps[index].name, value)
                    values[index], status[index] = value, _OK
                    ended[index] = now = clock()
                    if now - began > BLOCKED_S:
                        record.hold(name, now - began)
                elif kind == FETCH:
                    if status[index] is not None:
                        continue
                    if not self._begins(index, name, now, timeout_s):
                        return
                    fetching = True
                    call = function(*pick(values))  # type: ignore[misc]
                    before = copy_context()
                    value = await (watched(call, record.hold, name) if self.watching else call)
                    fetching = False
                    if self._closed or self._rest is not None:
                        return  # it was late, or nobody wants it any more
                    del self.scope.tasks[index]
                    self._index = -1
                    ended[index] = now = clock()
                    if type(value) is StandIn:
                        self._index = index
                        self._bail(value)
                        return
                    values[index], status[index] = value, _OK
                    if place < len(line) and not _is_same(before):
                        self._task = self.loop.create_task(self._walk(place), context=self._context)
                        return  # what a fetch puts into its context is no matter of the next node
                elif kind == TEST:
                    if status[index] is not None:  # on another way: neither side is to be run for it
                        place = line[jump - 1].jump
                        continue
                    started[index] = now
                    taken = bool(values[first])
                    record.taken[index] = plan.steps[index].sides[0 if taken else 1]
                    if not taken:
                        place = jump
                elif kind == PASS:
                    if status[index] is None:
                        values[index], status[index], ended[index] = values[first], _OK, now
                    place = jump
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and self.loop.is_closed():
                raise
            if self._closed or self._rest is not None:
                return
            del record, values, status, started, ended  # what a fallback raises will know this frame
            self._failed(index, fetching, error)
            return
        record.fine = not plan.outcomes  # what was handed in as an outcome may be a stand-in
        if not self.finished.done():
            self.finished.set_result(None)

    def _begins(self, index: int, name: str, now: float, timeout_s: float) -> bool:
        """Set the clock for a fetch; False where there is no time left for it."""
        at_s = self.at_s
        if now >= at_s or (self.left_s is not None and self.left_s <= 0.0):
            self._bail(None)
            return False
        due_s = now + timeout_s
        if due_s > at_s:
            due_s = at_s
        self.record.started[index] = now
        self._index, self._name, self._due_s = index, name, due_s
        self.scope.tasks[index] = self._task
        current_call.set((self._clock, due_s, index))
        if due_s < self._rings_at_s:
            self._arm(due_s)
        return True

    # ------------------------------------------------------------------ what goes wrong

    def _failed(self, index: int, fetching: bool, error: BaseException) -> None:
        name, why = self.plan.steps[index].name, without_our_frames(error)
        self.record.ended[index] = self._clock()
        if fetching and isinstance(why, asyncio.CancelledError):
            self._bail((index, _CANCELLED, cancelled(name, why), index))
        else:
            self._bail((index, _FAILED, why, index))

    def _bail(self, what: Failure | StandIn | None) -> None:
        if self._alarm is not None:
            self._alarm.off()
            self._alarm = None
        self.scope.tasks.pop(self._index, None)
        self._rest = self._go_on(self, what)

    def _arm(self, at_s: float) -> None:
        if self._alarm is None:
            self._alarm = Alarm(self.loop, self._ring)
        self._alarm.arm(at_s)
        self._rings_at_s = self._alarm.at_s

    def _ring(self, due_s: float) -> None:
        """Time out the fetch, if it is its time."""
        self._rings_at_s = inf
        if self._index < 0 or self._closed:
            return
        if self._due_s > due_s:
            self._arm(self._due_s)
            return
        index, name = self._index, self._name
        self._task.cancel()
        self._stopped.append((name, self._task))
        late = (
            deadline_passed(name) if due_s >= self.at_s else too_slow(name, self.plan.steps[index].timeout_s)
        )
        self._bail((index, _TIMED_OUT, late, index))

    @property
    def standing(self) -> int:
        """The fetch that is under way, or just ended."""
        return self._index


def _is_same(before: Context) -> bool:
    """Whether the context is as it was."""
    try:
        return copy_context() == before
    except Exception:  # values whose comparison says nothing
        return False
