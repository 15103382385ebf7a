"""Many runs of one plan, side by side: each step is done for all of them before the next one is.

A service that answers many requests at once asks the same questions for each. Where the plan is a line of
derived nodes, branches and lookups (:mod:`feature_graph.straight`), the runs walk it together: a derived node
is called for each, a lookup asks once with the keys of all. No task, no future, no timer is any run's own.

Only as long as all goes well with it: a run whose node raises, is late or stands in goes to the scheduler,
alone, with what is known so far (:meth:`feature_graph.async_engine._Run.after`): both answer alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from math import inf
from typing import Protocol

from feature_graph.alarm import LATE_S
from feature_graph.asking import Asked, Group
from feature_graph.batching import Answer
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
from feature_graph.straight import CALL, FETCH, PASS, TEST, Op
from feature_graph.watch import BLOCKED_S

_OK, _FAILED, _TIMED_OUT, _CANCELLED = Status.OK, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED

Failure = tuple[int, Status, BaseException, int]
Stopped = list[tuple[str, asyncio.Task[None]]]
_TURNS = 2
"""As of :mod:`feature_graph.alarm`."""


class Scheduled(Protocol):
    """A run that goes on alone."""

    def close(self) -> tuple[Record, Stopped]:
        """The end of it."""


class Walker:
    """One of the runs.

    Attributes:
        record: what it wrote down.
        at_s: its deadline, on the clock of the runs.
        scope: of its own only when it goes on alone.
    """

    __slots__ = ("at_s", "finished", "given", "left_s", "loop", "plan", "record", "rest", "scope", "watching")

    def __init__(
        self,
        plan: Plan,
        given: Mapping[str, object],
        left_s: float | None,
        now: float,
        loop: asyncio.AbstractEventLoop,
        watching: bool,
    ) -> None:
        self.plan, self.given, self.left_s, self.loop, self.watching = plan, given, left_s, loop, watching
        self.at_s = inf if left_s is None else now + left_s
        self.record = Record(plan, given, now)
        self.scope: Scope
        self.finished: asyncio.Future[None]
        self.rest: Scheduled | None = None

    def ends(self) -> tuple[Record, Stopped]:
        """The record, and what still has to end."""
        if self.rest is None:
            return self.record, []
        record, stopped = self.rest.close()
        self.rest = None
        return record, stopped


Wait = tuple[float, int, Walker, object, Group | Answer]
"""Until when, before which place of the line, who waits for which key, and where its answer will be."""
GoOn = Callable[[Walker, int, Failure | StandIn | None], Scheduled]
"""Makes a scheduler of one run, and lets it begin with what happened to the node of that index."""


class Walk:
    """All the runs.

    Args:
        plan: with ``columns``.
        walkers: of the plan, at least one.
        loop: that they run in.
        clock: of the loop.
        go_on: see :data:`GoOn`.
    """

    __slots__ = (
        "_asked",
        "_clock",
        "_context",
        "_go_on",
        "_loop",
        "_past",
        "_plan",
        "_stopped",
        "_waits",
        "walkers",
    )

    def __init__(
        self,
        plan: Plan,
        walkers: Sequence[Walker],
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        go_on: GoOn,
    ) -> None:
        self._plan, self.walkers = plan, walkers
        self._loop, self._clock, self._go_on = loop, clock, go_on
        self._asked: list[Asked] = []
        self._waits: list[Wait] = []
        self._past: dict[int, list[Walker]] = {}
        """Those who came to a fetch that they need not wait for."""
        self._stopped: Stopped = []
        self._context = copy_context()
        self._context.run(current_scope.set, Scope())
        self._context.run(current_call.set, (clock, max([one.at_s for one in walkers]), 0))

    async def to_the_end(self) -> None:
        """Until every run has all that it wants, on this way or alone."""
        ahead = {0: list(self.walkers)}
        while ahead or self._waits:
            for place, here in self._context.run(self._walk, ahead):
                self._fetch(place, here)
            if self._waits:
                await self._news()
            ahead = self._hear()
        for walker in self.walkers:
            if walker.rest is not None:
                await walker.finished
            else:
                walker.record.fine = not self._plan.outcomes

    def close(self) -> Stopped:
        """End what is under way; it still has to be waited for."""
        for asked in self._asked:
            self._stopped += asked.stop()
        self._asked.clear()
        return self._stopped

    def _walk(self, ahead: dict[int, list[Walker]]) -> list[tuple[int, list[Walker]]]:
        """Everybody from where they are up to the next fetch: nothing is waited for. Who is before which."""
        line, before = self._plan.columns, []
        assert line is not None
        while ahead:
            here: list[Walker] = []
            place = min(ahead)
            while place < len(line) and (here or place in ahead):
                here += ahead.pop(place, ())
                op, place = line[place], place + 1
                if op.kind == FETCH:
                    before.append((place - 1, here))
                    here = []
                elif op.kind == CALL:
                    here = self._call(op, here)
                elif op.kind == TEST:
                    here = self._test(op, here, ahead)
                elif op.kind == PASS:
                    self._pass(op, here)
                    if op.jump != place and here:
                        ahead.setdefault(op.jump, []).extend(here)
                        here = []
            ahead.pop(len(line), None)  # they have come to the end
        return before

    # ------------------------------------------------------------------ what is called for each

    @ours
    def _call(self, op: Op, here: list[Walker]) -> list[Walker]:
        _, index, function, arity, first, second, pick, _, name, _ = op
        clock, lost = self._clock, False
        now = clock()
        for walker in here:
            record = walker.record
            if record.status[index] is not None:
                continue
            values = record.values_at
            record.started[index] = began = now
            try:
                if arity == 1:
                    value = function(values[first])  # type: ignore[misc]
                elif arity == 2:
                    value = function(values[first], values[second])  # type: ignore[misc]
                else:
                    value = function(*pick(values))  # type: ignore[misc]
                if type(value) not in plain_types and can_be_awaited(value):
                    raise not_a_value(name, value)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                del record, values  # what a fallback raises will know this frame
                self._fails(walker, (index, _FAILED, without_our_frames(error), index))
                lost = True
                now = clock()
                continue
            values[index], record.status[index] = value, _OK
            record.ended[index] = now = clock()
            if now - began > BLOCKED_S:
                record.hold(name, now - began)
        return [one for one in here if one.rest is None] if lost else here

    def _test(self, op: Op, here: list[Walker], ahead: dict[int, list[Walker]]) -> list[Walker]:
        index, condition = op.place, op.first
        then, otherwise = self._plan.steps[index].sides
        now = self._clock()
        stay: list[Walker] = []
        leave: list[Walker] = []
        for walker in here:
            record = walker.record
            if record.status[index] is not None:
                stay.append(walker)
                continue
            record.started[index] = now
            try:
                taken = bool(record.values_at[condition])
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self._fails(walker, (index, _FAILED, without_our_frames(error), index))
                continue
            record.taken[index] = then if taken else otherwise
            (stay if taken else leave).append(walker)
        if leave:
            ahead.setdefault(op.jump, []).extend(leave)
        return stay

    def _pass(self, op: Op, here: Iterable[Walker]) -> None:
        index, side, now = op.place, op.first, self._clock()
        for walker in here:
            record = walker.record
            if record.status[index] is None:
                record.values_at[index], record.status[index] = record.values_at[side], _OK
                record.ended[index] = now

    # ------------------------------------------------------------------ what is asked for all

    def _fetch(self, place: int, here: list[Walker]) -> None:
        """Ask for all who want it; the others go on."""
        assert self._plan.columns is not None
        op, now, asked = self._plan.columns[place], self._clock(), None
        for walker in here:
            if walker.record.status[op.place] is not None:
                self._past.setdefault(place + 1, []).append(walker)
            elif now >= walker.at_s or (walker.left_s is not None and walker.left_s <= 0.0):
                self._goes_alone(walker, op.place, None)
            else:
                asked = asked or Asked(self._plan.asking[op.place], self._loop, self._clock)
                self._waits.append(self._want(place, op, walker, asked, now))
        if asked is not None:
            self._asked.append(asked)
            asked.ask()

    def _want(self, place: int, op: Op, walker: Walker, asked: Asked, now: float) -> Wait:
        record, due_s = walker.record, now + op.timeout_s
        record.started[op.place] = now
        key, *others = op.pick(record.values_at)  # type: ignore[misc]
        until_s = due_s if due_s < walker.at_s else walker.at_s
        return until_s, place, walker, key, asked.want(key, others, until_s)

    async def _news(self) -> None:
        """Wait until something has come, or somebody is late."""
        if self._past:
            return
        tasks = [task for one in self._asked for task in one.tasks if not task.done()]
        if not tasks:
            for one in self._asked:
                one.is_over()
            return
        until_s = min([wait[0] for wait in self._waits])
        left_s = until_s - self._clock()
        await asyncio.wait(
            tasks, timeout=left_s if left_s < inf else None, return_when=asyncio.FIRST_COMPLETED
        )
        if self._clock() - until_s > LATE_S:  # the loop was held up: what came meanwhile is looked at first
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    def _hear(self) -> dict[int, list[Walker]]:
        """Give out what has come, and give up on who is late; those who go on, by where they are."""
        ahead, self._past = self._past, {}
        now, still = self._clock(), []
        for wait in self._waits:
            until_s, place, walker, key, asked = wait
            answer = asked if isinstance(asked, Answer) else asked.answers[key]
            if answer is not None:
                self._take(self._plan.columns[place], walker, answer, now)  # type: ignore[index]
                if walker.rest is None:
                    ahead.setdefault(place + 1, []).append(walker)
            elif now < until_s:
                still.append(wait)
            else:
                self._is_late(self._plan.columns[place], walker, until_s)  # type: ignore[index]
        self._waits = still
        self._end_unwanted()
        return ahead

    def _end_unwanted(self) -> None:
        """A call that nobody waits for is ended."""
        groups = {id(wait[4]) for wait in self._waits}
        for asked in self._asked:
            if not asked.is_wanted(groups):
                self._stopped += asked.stop()
        self._asked = [one for one in self._asked if one.is_wanted(groups)]

    def _take(self, op: Op, walker: Walker, answer: Answer, now: float) -> None:
        index, record, value = op.place, walker.record, answer.value
        record.ended[index] = now
        record.notes[index] = answer.notes
        if answer.error is not None:
            self._failed(op, walker, answer)
        elif type(value) is StandIn:
            self._goes_alone(walker, index, value)
        else:
            record.values_at[index], record.status[index] = value, _OK

    def _failed(self, op: Op, walker: Walker, answer: Answer) -> None:
        assert answer.error is not None
        why = without_our_frames(answer.error.with_traceback(answer.traceback))
        if isinstance(why, asyncio.CancelledError):
            self._fails(walker, (op.place, _CANCELLED, cancelled(op.name, why), op.place))
        else:
            self._fails(walker, (op.place, _FAILED, why, op.place))

    def _is_late(self, op: Op, walker: Walker, until_s: float) -> None:
        late = deadline_passed(op.name) if until_s >= walker.at_s else too_slow(op.name, op.timeout_s)
        self._fails(walker, (op.place, _TIMED_OUT, late, op.place))

    # ------------------------------------------------------------------ who goes on alone

    def _fails(self, walker: Walker, failure: Failure) -> None:
        walker.record.ended[failure[0]] = self._clock()
        self._goes_alone(walker, failure[0], failure)

    def _goes_alone(self, walker: Walker, index: int, what: Failure | StandIn | None) -> None:
        walker.scope = Scope(walker.record.notes)
        walker.finished = self._loop.create_future()
        walker.rest = self._go_on(walker, index, what)
