"""Concurrent runs: counters, a queue of ready nodes, a task per fetch.

Whoever finishes counts its consumers down; what reaches zero is ready. Derived nodes run inline off the
queue, fetches become tasks, and nobody ever awaits another node's task, so that no consumer can cancel what
others wait for. A failure runs through its hard consumers at once and lets go of what only they wanted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import copy_context
from functools import partial
from math import inf
from time import monotonic
from types import CoroutineType

from feature_graph.alarm import Alarm
from feature_graph.deadline import current_call, deadline_in
from feature_graph.errors import BadRun, DeadlinePassed, FetchCancelled, FetchTimedOut, NotAValue
from feature_graph.node import MISSING
from feature_graph.outcome import Status
from feature_graph.plan import DEMANDED_BELOW, Kind, Plan, Step
from feature_graph.quiet import GRACE_S, wait_for_quiet
from feature_graph.record import Record
from feature_graph.resolution import Outcomes, Resolution, check_required
from feature_graph.scope import Notes, Scope, StandIn, current_scope
from feature_graph.watch import BLOCKED_S, watched

# Bound once: reading a member through its enum class costs more than the comparison.
_OK, _FALLBACK, _GIVEN = Status.OK, Status.FALLBACK, Status.GIVEN
_FAILED, _TIMED_OUT, _UPSTREAM = Status.FAILED, Status.TIMED_OUT, Status.UPSTREAM_FAILED
_CANCELLED, _NOT_NEEDED = Status.CANCELLED, Status.NOT_NEEDED
_FETCH, _BRANCH = int(Kind.FETCH), int(Kind.BRANCH)
_LOST = int(Kind.LOST)
_AWAITABLES = frozenset((CoroutineType, asyncio.Future, asyncio.Task))

_UNUSED = Scope()
"""Of runs without a fetch."""

_Failure = tuple[int, Status, BaseException | None, int | str]
"""Node, what became of it, why, and the node where that began."""


async def resolve(
    plan: Plan,
    given: Mapping[str, object],
    deadline_s: float | None = None,
    required: frozenset[str] = frozenset(),
    grace_s: float = GRACE_S,
    watching: bool = True,
) -> Resolution:
    """Run a plan; see :meth:`feature_graph.graph.Graph.resolve`. ``watching`` times each step of a fetch."""
    loop = asyncio.get_running_loop()
    run = _Run(plan, given, loop, deadline_in(deadline_s), required, watching)
    try:
        run.advance()
        if run.left > 0:
            await run.finished()
    finally:
        record, stopped = run.close()
        abandoned = await wait_for_quiet(stopped, grace_s, loop) if stopped else ()
    resolution = _resolution(plan, record, abandoned, run.left_s)
    return check_required(resolution, required) if required else resolution


def resolve_at_once(plan: Plan, given: Mapping[str, object]) -> Resolution:
    """Run a plan that fetches nothing: it needs no event loop and may be called inside or outside of one.

    Raises:
        BadRun: it came upon a fetch.
    """
    run = _Run(plan, given, _NoLoop(), None, frozenset())  # type: ignore[arg-type]  # only its clock is used
    run.advance()
    record, _ = run.close()
    return _resolution(plan, record, (), None)


def _resolution(
    plan: Plan, record: Record, abandoned: tuple[str, ...], deadline_s: float | None
) -> Resolution:
    outcomes = Outcomes(plan.nodes, record)
    return Resolution(
        plan.goals,
        plan.nodes,
        outcomes,
        record.spans,
        abandoned,
        record.blocked,
        plan.given,
        deadline_s,
    )


class _NoLoop:
    """As much of a loop as derived nodes need."""

    time = staticmethod(monotonic)

    def create_task(self, call: Coroutine[object, object, None]) -> asyncio.Task[None]:
        call.close()
        raise BadRun("a run without an event loop came upon a fetch")


class _Run:
    """The state of one run. Everything is indexed as in the plan."""

    __slots__ = (
        "_alarm",
        "_at_s",
        "_clock",
        "_closed",
        "_context",
        "_create_task",
        "_draining",
        "_ended",
        "_finished",
        "_lanes",
        "_loop",
        "_pending",
        "_position",
        "_ready",
        "_reasons",
        "_record",
        "_required",
        "_rings_at_s",
        "_roots",
        "_scope",
        "_started",
        "_starts_until_s",
        "_status",
        "_steps",
        "_stopped",
        "_taken",
        "_tasks",
        "_values",
        "_waiting",
        "_watching",
        "left",
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
    ) -> None:
        self._clock = clock = _clock_of(loop)
        now = clock()
        self.left = plan.unsettled_goals
        self.left_s = left_s
        self._stopped: list[tuple[str, asyncio.Task[None]]] = []
        self._record = record = Record(plan, given, now)
        self._values, self._status = record.values_at, record.status
        self._started, self._ended = record.started, record.ended
        self._reasons, self._roots, self._taken = record.reasons, record.roots, record.taken
        self._steps = plan.steps
        self._pending = pending = list(plan.pending)
        self._ready = ready = list(plan.ready)
        # What the queue's loop reads, at one go: a run of fetches comes by there for every one of them.
        self._lanes = (
            ready, plan.rows, record.status, record.values_at, record.started, record.ended, pending, clock,
        )  # fmt: skip
        self._required = required
        self._position: dict[int, int] = {}
        self._waiting: dict[int, list[int]] = {}
        self._scope = Scope(record.notes) if plan.fetches else _UNUSED
        self._tasks = self._scope.tasks
        self._watching = watching
        self._loop = loop
        self._create_task = loop.create_task
        self._at_s = inf if left_s is None else now + left_s
        self._starts_until_s = -inf if left_s is not None and left_s <= 0.0 else self._at_s
        self._alarm: Alarm | None = None
        self._rings_at_s = inf
        self._finished: asyncio.Future[None] | None = None
        self._draining = self._closed = False
        self._context = copy_context()
        if plan.fetches:
            self._context.run(current_scope.set, self._scope)
        if left_s is not None or plan.fetches:
            self._context.run(current_call.set, (clock, self._at_s, 0))

    # ------------------------------------------------------------------ the outside

    def finished(self) -> asyncio.Future[None]:
        """Done when every goal is settled; at the deadline at the latest."""
        self._finished = self._loop.create_future()
        if self._at_s < inf:
            self._arm(self._at_s)
        return self._finished

    def close(self) -> tuple[Record, list[tuple[str, asyncio.Task[None]]]]:
        """Cancel whatever runs; the record, and the tasks that still have to end.

        The run forgets its record. An error in it holds a traceback, whose frames hold this run: what the run
        still knew would be kept until the garbage collector came by.
        """
        self.left, self._closed = 0, True
        self._scope.closed = True
        self._ready.clear()
        if self._alarm is not None:
            self._alarm.off()
        for index in list(self._tasks):
            self._stop(index)
            self._status[index] = _CANCELLED
            self._ended[index] = self._clock()
        for name, task in self._scope.adopted:
            if not task.done():
                if not task.cancelling():  # again would break into its cleaning up
                    task.cancel()
                self._stopped.append((name, task))
        self._scope.adopted.clear()  # a task knows its context, and that this scope
        record = self._record
        del self._record, self._lanes, self._values, self._status, self._reasons, self._roots, self._taken
        return record, [(name, task) for name, task in self._stopped if not task.done()]

    # ------------------------------------------------------------------ the queue

    def advance(self) -> None:
        """Run what is ready, and tell the waiting caller if that was all."""
        if self._draining:  # an eagerly started fetch ended inside the queue's own loop, which goes on
            return
        try:
            self._context.run(self._drain)
        except BaseException as error:
            self._draining = False
            self._ready.clear()
            if self._finished is None or isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            if not self._finished.done():
                self._finished.set_exception(error)
            return
        if self.left <= 0 and self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

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
                    value = self._call(step) if pick is None else function(*pick(values))
                if type(value) in _AWAITABLES:
                    raise _not_a_value(step.name, value)
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
                    self._tell(step)
            ended[index] = now = clock()
            if now - began > BLOCKED_S:
                self._record.hold(step.name, now - began)
            if waited_for and self.left <= 0:
                break
        ready.clear()
        self._draining = False

    def _begin(self, step: Step, now: float) -> None:
        """A branch, a first_of, or what was handed in without a value."""
        if step.kind == _LOST:
            self._fail((self._record.loss(step.index),))
            return
        if self._started[step.index] is None:  # a branch comes by twice
            self._started[step.index] = now
        if step.kind == _BRANCH:
            self._decide(step)
        else:
            self._choose(step)

    def _raised(self, step: Step, error: BaseException) -> None:
        """A derived node gave no value."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        self._fail(((step.index, _FAILED, _without_our_frames(error), step.index),))

    def _call(self, step: Step) -> object:
        """Call with defaults for what has no value, outcomes where they are asked for, and keywords."""
        positional, by_keyword = [], {}
        for source, keyword, default, wants_outcome in step.arguments:
            if source < 0:
                value = default
            elif wants_outcome:
                value = self._record.outcome(source)
            else:
                value = self._values[source] if self._has_value(source) else default
            if keyword is None:
                positional.append(value)
            else:
                by_keyword[keyword] = value
        return step.function(*positional, **by_keyword)  # type: ignore[misc]

    def _has_value(self, index: int) -> bool:
        status = self._status[index]
        return status is _OK or status is _FALLBACK or status is _GIVEN

    # ------------------------------------------------------------------ fetches

    def _start(self, step: Step, now: float) -> None:
        index, until_s = step.index, now + step.timeout_s
        if now >= self._starts_until_s:
            if step.late is not None:
                ready = partial(step.late, elements=self._values[step.dependencies[0]])
                notes = self._record.notes[index] = Notes()
                notes.stand_in = ready
            self._fail(((index, _TIMED_OUT, _deadline_passed(step.name), index),))
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

    async def _fetch(self, step: Step, until_s: float) -> None:
        failure: BaseException | None = None
        index, pick = step.index, step.pick
        current_call.set((self._clock, until_s, index))
        try:
            call = self._call(step) if pick is None else step.function(*pick(self._values))  # type: ignore[misc]
            value = await (watched(call, self._record.hold, step.name) if self._watching else call)  # type: ignore[arg-type,misc]
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and self._loop.is_closed():
                raise  # the loop is gone and the interpreter sweeps up: there is no run to carry on
            failure = _without_our_frames(error)
        if self._closed or self._status[index] is not None:
            return  # it timed out, or nobody wants it any more: what it says now is too late
        self._tasks.pop(index, None)
        self._ended[index] = self._clock()
        if failure is None:
            if type(value) is StandIn:
                self._take_stand_in(step, value)
            else:
                self._give(step, _OK, value)
        elif isinstance(failure, asyncio.CancelledError):
            self._fail(((index, _CANCELLED, _cancelled(step.name, failure), index),))
        else:
            self._fail(((index, _FAILED, failure, index),))
        failure = None  # the error's traceback may hold this frame
        if self._ready or self.left <= 0:
            self.advance()

    def _take_stand_in(self, step: Step, value: StandIn) -> None:
        self._reasons[step.index], self._roots[step.index] = value.reason, step.index
        self._record.tell(step.index, value.notes)
        self._give(step, _FALLBACK, value.value)

    def _stop(self, index: int) -> None:
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
            self._end_late({index: _deadline_passed(self._steps[index].name) for index in self._tasks})
        else:
            self._end_late({index: _too_slow(self._steps[index]) for index in self._due(due_s)})
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
            self._stop(index)
        self._fail([(index, _TIMED_OUT, error, index) for index, error in late.items()])

    # ------------------------------------------------------------------ branches

    def _decide(self, step: Step) -> None:
        side = self._taken.get(step.index)
        if side is None:
            try:
                taken = bool(self._values[step.dependencies[0]])
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                failure = _without_our_frames(error)
            else:
                side = self._taken[step.index] = step.sides[0 if taken else 1]
                self._let_go((step.sides[1 if taken else 0],))
        if side is None:
            self._fail(((step.index, _FAILED, failure, step.index),))
            del failure  # its traceback holds this frame
        elif self._status[side] is None:
            self._wait_for(side, step)
        elif self._has_value(side):
            self._pass_on(step, side)
        else:
            self._fail(((step.index, _UPSTREAM, self._reasons.get(side), self._roots.get(side, side)),))

    def _choose(self, step: Step) -> None:
        for position in range(self._position.get(step.index, 0), len(step.sides)):
            side = step.sides[position]
            self._position[step.index] = position
            if self._status[side] is None:
                self._wait_for(side, step)
                return
            if self._has_value(side):
                self._taken[step.index] = side
                self._pass_on(step, side)
                return
        first = step.sides[0]
        self._fail(((step.index, _UPSTREAM, self._reasons.get(first), self._roots.get(first, first)),))

    def _wait_for(self, side: int, step: Step) -> None:
        self._waiting.setdefault(side, []).append(step.index)
        self._demand(side, step.index)

    def _pass_on(self, step: Step, side: int) -> None:
        if self._status[side] is _FALLBACK:
            self._reasons[step.index], self._roots[step.index] = self._reasons[side], self._roots[side]
            self._give(step, _FALLBACK, self._values[side])
        else:
            self._give(step, _OK, self._values[side])
        self._ended[step.index] = self._clock()

    # ------------------------------------------------------------------ demand, success, failure

    def _demand(self, first: int, wanted_by: int) -> None:
        """Call for a node and all that it needs, as far as nobody has yet."""
        stack = [(first, wanted_by)]
        status, pending = self._status, self._pending
        while stack:
            index, consumer = stack.pop()
            if status[index] is not None or pending[index] < DEMANDED_BELOW or status[consumer] is not None:
                continue
            step = self._steps[index]
            missing = [dep for dep in step.dependencies if status[dep] is None]
            pending[index] = len(missing)
            lost = next((dep for dep in step.dependencies if dep in step.hard and self._is_lost(dep)), None)
            if lost is not None:
                self._fail(((index, _UPSTREAM, self._reasons.get(lost), self._roots.get(lost, lost)),))
            elif missing:
                stack.extend([(dep, index) for dep in reversed(missing)])
            else:
                self._ready.append(index)

    def _is_lost(self, index: int) -> bool:
        return self._status[index] is not None and not self._has_value(index)

    def _give(self, step: Step, status: Status, value: object) -> None:
        index = step.index
        self._values[index] = value
        self._status[index] = status
        pending = self._pending
        for consumer in step.consumers:
            pending[consumer] = missing = pending[consumer] - 1
            if not missing:
                self._ready.append(consumer)
        if step.waited_for:
            self._tell(step)

    def _tell(self, step: Step) -> None:
        """Whoever waits for this very node: branches and first_ofs, and the caller."""
        if step.users and step.index in self._waiting:
            self._ready.extend(self._waiting.pop(step.index))
        if step.is_goal:
            self.left -= 1

    def _fail(self, failures: Iterable[_Failure]) -> None:
        """Record failures, let fallbacks stand in, and carry the rest to all that cannot run without."""
        work = deque(failures)
        loose: list[int] = []
        while work:
            index, status, error, root = work.popleft()
            if self._status[index] is not None:
                continue
            step = self._steps[index]
            if len(step.dependencies) > 1:
                loose.extend(step.dependencies)
            self._reasons[index], self._roots[index] = error, root
            if self._fall_back(step, error):
                continue
            if self._reasons[index] is not error:  # the fallback raised
                status, root, error = _FAILED, index, self._reasons[index]
            self._status[index] = status
            self._settle_failed(step)
            for consumer in step.consumers:
                if self._status[consumer] is None and self._pending[consumer] < DEMANDED_BELOW:
                    if index in self._steps[consumer].hard:
                        work.append((consumer, _UPSTREAM, error, root))
                    else:
                        self._count_down(consumer)
        if loose:
            self._let_go(loose)

    def _settle_failed(self, step: Step) -> None:
        index = step.index
        if self._started[index] is not None and self._ended[index] is None:
            self._ended[index] = self._clock()
        if step.users and index in self._waiting:
            self._ready.extend(self._waiting.pop(index))
        if step.is_goal:
            self.left = 0 if step.name in self._required else self.left - 1

    def _count_down(self, consumer: int) -> None:
        self._pending[consumer] -= 1
        if not self._pending[consumer]:
            self._ready.append(consumer)

    def _fall_back(self, step: Step, error: BaseException | None) -> bool:
        """Let what stands by or the declared fallback stand in; False if there is none, or it raised.

        What it raised then is the node's failure.
        """
        index = step.index
        notes = self._record.notes.get(index)
        ready = notes.stand_in if isinstance(notes, Notes) else None
        if ready is None and step.fallback is MISSING:
            return False
        try:
            if ready is not None:
                stand_in = ready if isinstance(ready, StandIn) else ready(error)
                value = stand_in.value
                self._record.tell(index, stand_in.notes)
            else:
                value = step.fallback(error) if step.fallback_calls else step.fallback  # type: ignore[operator]
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as second:
            self._reasons[index] = _caused(_without_our_frames(second), error)
            return False
        if self._started[index] is not None and self._ended[index] is None:
            self._ended[index] = self._clock()
        self._give(step, _FALLBACK, value)
        return True

    def _let_go(self, candidates: Iterable[int]) -> None:
        """Stop what was called for and can no longer help any goal; what may yet be called for goes on."""
        stack = list(candidates)
        while stack:
            index = stack.pop()
            if (
                self._status[index] is not None
                or self._pending[index] >= DEMANDED_BELOW
                or self._may_help(index)
            ):
                continue
            if index in self._tasks:
                self._stop(index)
                self._status[index] = _CANCELLED
                self._ended[index] = self._clock()
                continue
            step = self._steps[index]
            self._status[index] = _NOT_NEEDED
            stack.extend(step.dependencies)
            stack.extend(step.sides)

    def _may_help(self, index: int) -> bool:
        """True if some path of unsettled nodes, untaken sides left out, leads up to an unsettled goal."""
        seen = {index}
        stack = [index]
        while stack:
            each = stack.pop()
            step = self._steps[each]
            if step.is_goal:
                return True
            above = [user for user in step.users if self._may_take(user, each)]
            for consumer in (*step.consumers, *above):
                if self._status[consumer] is None and consumer not in seen:
                    seen.add(consumer)
                    stack.append(consumer)
        return False

    def _may_take(self, user: int, side: int) -> bool:
        step = self._steps[user]
        if step.kind == _BRANCH:
            return self._taken.get(user, side) == side
        return side in step.sides[self._position.get(user, 0) :]


def _clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's clock: asyncio's is the monotonic one behind a call, uvloop's the same in whole ms."""
    kind = type(loop)
    if kind.time is asyncio.BaseEventLoop.time or kind.__module__.partition(".")[0] == "uvloop":
        return monotonic
    return loop.time


def _without_our_frames(error: BaseException) -> BaseException:
    """Let the traceback begin in the node's code; our frames would also tie the error to the whole run."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code in _OUR_CODE:
        traceback = traceback.tb_next
    error.__traceback__ = traceback
    return error


def _caused(error: BaseException, by: BaseException | None) -> BaseException:
    """The error, with what it followed on told."""
    if error is not by and error.__context__ is None:
        error.__context__ = by
    return error


def _deadline_passed(name: str) -> DeadlinePassed:
    return DeadlinePassed(f"the run's deadline passed before {name!r} had a value")


def _too_slow(step: Step) -> FetchTimedOut:
    return FetchTimedOut(f"{step.name!r} took longer than {step.timeout_s} s")


def _cancelled(name: str, cause: BaseException) -> FetchCancelled:
    error = FetchCancelled(f"{name!r} was cancelled from inside or from elsewhere")
    error.__cause__ = cause
    return error


def _not_a_value(name: str, value: object) -> NotAValue:
    if isinstance(value, CoroutineType):
        value.close()
    kind = type(value).__name__
    return NotAValue(f"{name!r} is a plain def and returned a {kind}; declare it async def to fetch")


_OUR_CODE = frozenset(
    function.__code__
    for function in (_Run._fetch, _Run._drain, _Run._call, _Run._decide, _Run._fall_back, watched)
)
