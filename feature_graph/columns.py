"""Many runs of one plan, side by side: each step is done for all of them before the next one is.

A service that answers many requests at once asks the same questions for each. Where the plan is a line of
derived nodes, branches and lookups (:mod:`feature_graph.straight`), the runs walk it together: a derived node
is called for each, a lookup asks once with the keys of all. No task, no future, no timer is any run's own.

Only as long as all goes well with it: a run whose node raises, is late or stands in goes to the scheduler,
alone, with what is known so far (:mod:`feature_graph.walker`): both answer alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from math import inf

from feature_graph.alarm import LATE_S
from feature_graph.asking import Asked, Group
from feature_graph.batching import Answer
from feature_graph.deadline import current_call
from feature_graph.outcome import Status
from feature_graph.reasons import cancelled, deadline_passed, too_slow, without_our_frames
from feature_graph.scope import Scope, StandIn, current_scope
from feature_graph.straight import Op
from feature_graph.stretch import Places, walk
from feature_graph.walker import Party, Stopped, Walker

_OK, _FAILED, _TIMED_OUT, _CANCELLED = Status.OK, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED
_TURNS = 2
"""As of :mod:`feature_graph.alarm`."""

Wait = tuple[float, int, Walker, object, Group | Answer]
"""Until when, before which place of the line, who waits for which key, and where its answer will be."""


class Walk:
    """All the runs.

    Args:
        party: of a plan with ``columns``.
        walkers: at least one.
    """

    def __init__(self, party: Party, walkers: Sequence[Walker]) -> None:
        assert party.plan.columns is not None
        self._plan, self._line, self._walkers = party.plan, party.plan.columns, walkers
        self._loop, self._clock = party.loop, party.clock
        self._asked: list[Asked] = []
        self._waits: list[Wait] = []
        self._past: Places = {}
        """Those who came to a fetch that they need not wait for."""
        self._stopped: Stopped = []
        self._woken: asyncio.Future[None] | None = None
        self._context = copy_context()
        self._context.run(current_scope.set, Scope())
        self._context.run(current_call.set, (party.clock, max([one.at_s for one in walkers]), 0))

    async def to_the_end(self) -> None:
        """Until every run has all that it wants, on this way or alone."""
        ahead: Places = {0: list(self._walkers)}
        while ahead or self._waits:
            for place, here in self._context.run(walk, self._line, self._plan.steps, ahead, self._clock):
                self._fetch(place, here)
            if self._waits:
                await self._news()
            ahead = self._hear()
        for walker in self._walkers:
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

    def _fetch(self, place: int, here: list[Walker]) -> None:
        """Ask for all who want it; the others go on."""
        op, now, asked = self._line[place], self._clock(), None
        for walker in here:
            if walker.record.status[op.place] is not None:
                self._past.setdefault(place + 1, []).append(walker)
            elif not walker.may_begin(now):
                walker.goes_alone(op.place, None)
            else:
                asked = asked or Asked(self._plan.asking[op.place], self._loop, self._clock, self._wake)
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
        if not any(one.is_under_way for one in self._asked):
            for one in self._asked:
                one.is_over()
            return
        until_s = min([wait[0] for wait in self._waits])
        await self._woken_until(until_s)
        if self._clock() - until_s > LATE_S:  # the loop was held up: what came meanwhile is looked at first
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    async def _woken_until(self, until_s: float) -> None:
        """Until a call ends, or that time comes; what ``asyncio.wait`` does at three times the price."""
        self._woken = self._loop.create_future()
        timer = None
        if until_s < inf:
            timer = self._loop.call_later(max(until_s - self._clock(), 0.0), self._wake)
        try:
            await self._woken
        finally:
            if timer is not None:
                timer.cancel()

    def _wake(self, _: object = None) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _hear(self) -> dict[int, list[Walker]]:
        """Give out what has come, and give up on who is late; those who go on, by where they are."""
        ahead, self._past = self._past, {}
        now, still = self._clock(), []
        for wait in self._waits:
            until_s, place, walker, key, asked = wait
            answer = asked if isinstance(asked, Answer) else asked.answers[key]
            if answer is not None:
                _take(self._line[place], walker, answer, now)
                if walker.rest is None:
                    ahead.setdefault(place + 1, []).append(walker)
            elif now < until_s:
                still.append(wait)
            elif isinstance(asked, Group) and (failed := asked.meanwhile.get(key)) is not None:
                _take(self._line[place], walker, failed, now)
            else:
                _is_late(self._line[place], walker, until_s)
        self._waits = still
        self._end_unwanted()
        return ahead

    def _end_unwanted(self) -> None:
        """A call that nobody waits for is ended."""
        groups = {id(wait[4]) for wait in self._waits}
        wanted = []
        for asked in self._asked:
            if asked.is_wanted(groups):
                wanted.append(asked)
            else:
                self._stopped += asked.stop()
        self._asked = wanted


def _take(op: Op, walker: Walker, answer: Answer, now: float) -> None:
    index, record, value = op.place, walker.record, answer.value
    record.ended[index] = now
    record.notes[index] = answer.notes
    if answer.error is not None:
        _failed(op, walker, answer.error.with_traceback(answer.traceback))
    elif type(value) is StandIn:
        walker.goes_alone(index, value)
    else:
        record.values_at[index], record.status[index] = value, _OK


def _failed(op: Op, walker: Walker, error: BaseException) -> None:
    why = without_our_frames(error)
    if isinstance(why, asyncio.CancelledError):
        walker.fails(op.place, _CANCELLED, cancelled(op.name, why))
    else:
        walker.fails(op.place, _FAILED, why)


def _is_late(op: Op, walker: Walker, until_s: float) -> None:
    late = deadline_passed(op.name) if until_s >= walker.at_s else too_slow(op.name, op.timeout_s)
    walker.fails(op.place, _TIMED_OUT, late)
