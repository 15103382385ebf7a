"""Concurrent runs: counters, a queue of ready nodes, a task per fetch.

What follows from what is the business of :mod:`feature_graph.flow`; here derived nodes run inline off the
queue, fetches become tasks, and nobody ever awaits another node's task, so that no consumer can cancel what
others wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from math import inf
from time import monotonic

from feature_graph.alarm import Alarm
from feature_graph.deadline import current_call
from feature_graph.errors import FetchTimedOut
from feature_graph.flow import Flow
from feature_graph.outcome import Status
from feature_graph.plan import Kind, Plan, Step
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
from feature_graph.scope import Notes, Scope, StandIn, current_scope
from feature_graph.straight_run import Failure, StraightRun
from feature_graph.walker import Walker
from feature_graph.watch import BLOCKED_S, watched

# Bound once: reading a member through its enum class costs more than the comparison.
_OK, _FALLBACK = Status.OK, Status.FALLBACK
_FAILED, _TIMED_OUT, _CANCELLED = Status.FAILED, Status.TIMED_OUT, Status.CANCELLED
_GIVEN, _FETCH, _BRANCH, _LOST = int(Kind.GIVEN), int(Kind.FETCH), int(Kind.BRANCH), int(Kind.LOST)
_QUICK_CLOCKS: set[type] = set()
"""Kinds of loops whose clock was seen to be the monotonic one."""
_UNUSED = Scope()
"""Of runs without a fetch."""


class Run(Flow):
    """One run: its queue, its tasks and its time."""

    __slots__ = (
        "_alarm",
        "_at_s",
        "_closed",
        "_context",
        "_create_task",
        "_draining",
        "_finished",
        "_lanes",
        "_loop",
        "_rings_at_s",
        "_scope",
        "_starts_until_s",
        "_stopped",
        "_tasks",
        "_watching",
        "left_s",
    )

    def __init__(
        self,
        plan: Plan,
        given: Mapping[str, object],
        loop: asyncio.AbstractEventLoop,
        left_s: float | None,
        required: frozenset[str],
        watching: bool = False,
        record: Record | None = None,
        scope: Scope | None = None,
    ) -> None:
        clock = clock_of(loop)
        now = clock()
        record = Record(plan, given, now) if record is None else record
        self._scope = scope or (Scope(record.notes) if plan.fetches else _UNUSED)
        self._tasks = self._scope.tasks
        super().__init__(plan, record, required, self._tasks, clock)
        # What the queue's loop reads, at one go: a run of fetches comes by there for every one of them.
        self._lanes = (
            self.ready, plan.rows, record.status, record.values_at,
            record.started, record.ended, self._pending, clock,
        )  # fmt: skip
        self.left_s = left_s
        self._at_s = inf if left_s is None else now + left_s
        self._starts_until_s = -inf if left_s is not None and left_s <= 0.0 else self._at_s
        self._loop = loop
        self._create_task = loop.create_task
        self._stopped: list[tuple[str, asyncio.Task[None]]] = []
        self._alarm: Alarm | None = None
        self._rings_at_s = inf
        self._finished: asyncio.Future[None] | None = None
        self._draining = self._closed = False
        self._watching = watching
        self._context = copy_context()
        if plan.fetches:
            self._context.run(current_scope.set, self._scope)
        if left_s is not None or plan.fetches:
            self._context.run(current_call.set, (clock, self._at_s, 0))

    @classmethod
    def after(cls, straight: StraightRun | Walker) -> Run:
        """Go on from where a run on a line came to."""
        plan, record, none = straight.plan, straight.record, frozenset[str]()
        loop, left_s = straight.loop, straight.left_s
        run = cls(plan, straight.given, loop, left_s, none, straight.watching, record, straight.scope)
        run._at_s, run._finished = straight.at_s, straight.finished
        run._starts_until_s = -inf if left_s is not None and left_s <= 0.0 else straight.at_s
        run._context.run(current_call.set, (run.clock, run._at_s, 0))
        if run._at_s < inf:
            run._arm(run._at_s)
        for step in plan.steps:
            if run._status[step.index] is _OK and step.kind != _GIVEN:
                run._count(step)
        return run

    def _count(self, step: Step) -> None:
        """A node that a straight run settled."""
        pending = self._pending
        for consumer in step.consumers:
            pending[consumer] = missing = pending[consumer] - 1
            if not missing:
                self.ready.append(consumer)
        if step.is_goal:
            self.left -= 1

    def heed(self, *happened: tuple[int, Failure | StandIn | None]) -> None:
        """Begin with what went wrong at nodes of a straight run, if anything but time did."""
        for index, what in happened:
            if isinstance(what, StandIn):
                self._take_stand_in(self._steps[index], what)
            elif what is not None:
                if what[1] is _TIMED_OUT and self.clock() >= self._at_s:
                    self._starts_until_s = -inf
                self.fail((what,))
        self.advance()

    # ------------------------------------------------------------------ the outside

    def finished(self) -> asyncio.Future[None]:
        """Done when every goal is settled; at the deadline at the latest."""
        self._finished = self._loop.create_future()
        if self._at_s < inf:
            self._arm(self._at_s)
        return self._finished

    def close(self) -> tuple[Record, list[tuple[str, asyncio.Task[None]]]]:
        """Cancel whatever runs; the record, and the tasks that still have to end."""
        self.left, self._closed = 0, True
        self._scope.closed = True
        self.ready.clear()
        if self._alarm is not None:
            self._alarm.off()
        for index in list(self._tasks):
            self.stop(index)
            self._status[index] = _CANCELLED
            self._ended[index] = self.clock()
        for name, task in self._scope.adopted:
            if not task.done() and not task.cancelling():  # again would break into its cleaning up
                task.cancel()
            self._stopped.append((name, task))
        self._scope.forget()  # a task knows its context, and that this scope
        del self._lanes
        record = self.forget()
        return record, [(name, task) for name, task in self._stopped if not _has_ended(task)]

    # ------------------------------------------------------------------ the queue

    def advance(self) -> None:
        """Run what is ready, and tell the waiting caller if that was all."""
        if self._draining:  # an eagerly started fetch ended inside the queue's own loop, which goes on
            return
        try:
            if self.left > 0:
                self._context.run(self._drain)
        except BaseException as error:
            self._draining = False
            self.ready.clear()
            if self._finished is None or isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            if not self._finished.done():
                self._finished.set_exception(error)
            return
        if self.left <= 0 and self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    @ours
    def _drain(self) -> None:
        """Work the queue off. What a derived node takes is written out here: calls would double its cost."""
        self._draining = True
        ready, rows, status, values, started, ended, pending, clock = self._lanes
        now = clock()
        for index in ready:  # which grows meanwhile
            if status[index] is not None:
                continue
            function, arity, first, second, pick, consumers, waited_for, step = rows[index]
            if function is None:
                if step.kind == _FETCH:
                    self._start(step, now)
                else:
                    self._begin(step, now)
                if self.left <= 0:
                    break
                continue
            started[index] = began = now
            try:
                if arity == 1:
                    value = function(values[first])
                elif arity == 2:
                    value = function(values[first], values[second])
                else:
                    value = self.call(step) if pick is None else function(*pick(values))
                if type(value) not in plain_types and can_be_awaited(value):
                    raise not_a_value(step.name, value)
            except BaseException as error:
                self._raised(step, error)
                waited_for = True
            else:
                values[index] = value
                status[index] = _OK
                for consumer in consumers:
                    pending[consumer] = missing = pending[consumer] - 1
                    if not missing:
                        ready.append(consumer)
                if waited_for:
                    self.tell(step)
            ended[index] = now = clock()
            if now - began > BLOCKED_S:
                self.record.hold(step.name, now - began)
            if waited_for and self.left <= 0:
                break
        ready.clear()
        self._draining = False

    def _begin(self, step: Step, now: float) -> None:
        """A branch, a first_of, or what was handed in without a value."""
        if step.kind == _LOST:
            self.fail((self.record.loss(step.index),))
            return
        if self._started[step.index] is None:  # a branch comes by twice
            self._started[step.index] = now
        if step.kind == _BRANCH:
            self.decide(step)
        else:
            self.choose(step)

    def _raised(self, step: Step, error: BaseException) -> None:
        """A derived node gave no value."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        self.fail(((step.index, _FAILED, without_our_frames(error), step.index),))

    # ------------------------------------------------------------------ fetches

    def _start(self, step: Step, now: float) -> None:
        index, until_s = step.index, now + step.timeout_s
        if now >= self._starts_until_s:
            if step.late is not None:
                ready = partial(step.late, elements=self._values[step.dependencies[0]])
                notes = self.record.notes[index] = Notes()
                notes.stand_in = ready
            self.fail(((index, _TIMED_OUT, deadline_passed(step.name), index),))
            return
        self._started[index] = now
        if until_s > self._at_s:
            until_s = self._at_s
        task = self._create_task(self._fetch(step, until_s))
        if self._status[index] is not None:  # started eagerly, and done already
            return
        self._tasks[index] = task
        if until_s < self._rings_at_s:
            self._arm(until_s)

    @ours
    async def _fetch(self, step: Step, until_s: float) -> None:
        failure: BaseException | None = None
        index, pick = step.index, step.pick
        current_call.set((self.clock, until_s, index))
        try:
            call = self.call(step) if pick is None else step.function(*pick(self._values))  # type: ignore[misc]
            value = await (watched(call, self.record.hold, step.name) if self._watching else call)  # type: ignore[arg-type,misc]
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and self._loop.is_closed():
                raise  # the loop is gone and the interpreter sweeps up: there is no run to carry on
            failure = without_our_frames(error)
        if self._closed or self._status[index] is not None:
            return  # it timed out, or nobody wants it any more: what it says now is too late
        self._tasks.pop(index, None)
        self._ended[index] = self.clock()
        if failure is None:
            if isinstance(value, StandIn):
                self._take_stand_in(step, value)
            else:
                self.give(step, _OK, value)
        elif isinstance(failure, asyncio.CancelledError):
            self.fail(((index, _CANCELLED, cancelled(step.name, failure), index),))
        else:
            self.fail(((index, _FAILED, failure, index),))
        failure = None  # the error's traceback may hold this frame
        if self.ready or self.left <= 0:
            self.advance()

    def _take_stand_in(self, step: Step, value: StandIn) -> None:
        self._reasons[step.index], self._roots[step.index] = value.reason, step.index
        self.record.tell(step.index, value.notes)
        self.give(step, _FALLBACK, value.value)

    def stop(self, index: int) -> None:
        """Cancel a fetch that runs."""
        task = self._tasks.pop(index)
        task.cancel()
        self._stopped.append((self._steps[index].name, task))

    # ------------------------------------------------------------------ time

    def _arm(self, at_s: float) -> None:
        """Be woken at ``at_s`` at the latest; the alarm is made when something can be late."""
        if self._alarm is None:
            self._alarm = Alarm(self._loop, self._ring)
        self._alarm.arm(at_s)
        self._rings_at_s = self._alarm.at_s

    def _ring(self, due_s: float) -> None:
        """Time out what is due."""
        self._rings_at_s = inf
        if due_s >= self._at_s:
            self._starts_until_s = -inf
            self._end_late({index: deadline_passed(self._steps[index].name) for index in self._tasks})
        else:
            self._end_late(
                {
                    index: too_slow(self._steps[index].name, self._steps[index].timeout_s)
                    for index in self._due(due_s)
                }
            )
        self.advance()

    def _due(self, due_s: float) -> list[int]:
        """Fetches whose time is up; the alarm is armed for the next.

        All that run are looked at: an alarm is rare, and a queue of timeouts would cost every fetch.
        """
        due, next_s = [], self._at_s
        for index in self._tasks:
            began_s, timeout_s = self._started[index], self._steps[index].timeout_s
            if began_s is None:
                continue
            if began_s + timeout_s <= due_s:
                due.append(index)
            else:
                next_s = min(next_s, began_s + timeout_s)
        if next_s < inf:
            self._arm(next_s)
        return due

    def _end_late(self, late: Mapping[int, FetchTimedOut]) -> None:
        for index in late:
            self.stop(index)
        self.fail([(index, _TIMED_OUT, error, index) for index, error in late.items()])


def _has_ended(task: asyncio.Task[None]) -> bool:
    """True if the task is done; asyncio reports errors that nobody looked at, such as an interrupt."""
    if task.done() and not task.cancelled():
        task.exception()
    return task.done()


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's clock: asyncio's is the monotonic one behind a call, uvloop's the same in whole ms."""
    kind = type(loop)
    if kind in _QUICK_CLOCKS:
        return monotonic
    if kind.time is asyncio.BaseEventLoop.time or kind.__module__.partition(".")[0] == "uvloop":
        _QUICK_CLOCKS.add(kind)
        return monotonic
    return loop.time
