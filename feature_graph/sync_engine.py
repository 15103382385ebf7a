"""The reference: one node at a time, in the order of the parameters. It defines what is right.

Every rule of the package is one line here, and the concurrent engine is held against it: same goals, same
values, same words. It recurses, so a chain of a thousand nodes is beyond it, and it makes no attempt to be
quick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from inspect import isawaitable, iscoroutine
from math import inf
from typing import Any

from feature_graph.deadline import current_call, deadline_in
from feature_graph.each import element_failed, sequence_of
from feature_graph.errors import DeadlinePassed, FetchCancelled, FetchTimedOut, NotAValue
from feature_graph.node import MISSING, Branch, Derived, Each, Fetch, FirstOf, Lookup, Node
from feature_graph.outcome import Outcome, Status
from feature_graph.plan import Plan
from feature_graph.reasons import caused
from feature_graph.resolution import Outcomes, Resolution, Span, check_required
from feature_graph.scope import Notes, Scope, StandIn, current_scope

_Outcome = Outcome[object]
Stand = Callable[[BaseException | None], StandIn]


async def resolve(
    plan: Plan,
    given: Mapping[str, object],
    deadline_s: float | None = None,
    required: frozenset[str] = frozenset(),
) -> Resolution:
    """Run a plan in sequence; see :meth:`feature_graph.graph.Graph.resolve_in_order`."""
    left_s = deadline_in(deadline_s)
    run = _Run(plan, given, left_s)
    for goal in plan.goals:
        outcome = await run.outcome_of(goal)
        if goal in required and not outcome.has_value:
            break
    outcomes = Outcomes(plan.nodes, run.outcomes)
    resolution = Resolution(
        plan.goals, plan.nodes, outcomes, lambda: run.spans, given=plan.given, deadline_s=left_s
    )
    return check_required(resolution, required)


class _Run:
    def __init__(self, plan: Plan, given: Mapping[str, object], left_s: float | None) -> None:
        self.outcomes = {name: _given(given[name]) for name in plan.given}
        self.spans: list[Span] = []
        self._started: dict[str, float] = {}
        self._plan = plan
        self._clock = asyncio.get_running_loop().time
        self._began_s = self._clock()
        self._at_s = None if left_s is None else self._began_s + left_s

    async def outcome_of(self, name: str) -> _Outcome:
        """At most once a run: what has an outcome keeps it."""
        if name not in self.outcomes:
            outcome = self.outcomes[name] = await self._evaluate(self._plan.nodes[name])
            if name in self._started:
                start_s = self._started[name] - self._began_s
                self.spans.append(Span(name, start_s, self._clock() - self._began_s, outcome.status))
        return self.outcomes[name]

    async def _evaluate(self, node: Node) -> _Outcome:
        if isinstance(node, Branch):
            return await self._branch(node)
        if isinstance(node, FirstOf):
            return await self._first_of(node)
        arguments: list[Any] = []
        by_keyword: dict[str, Any] = {}
        for parameter in node.parameters:
            if parameter.node in self._plan.absent:
                value = parameter.default
            else:
                outcome = await self.outcome_of(parameter.node)
                if not outcome.has_value and parameter.hard:
                    return _fallen_back(node, _upstream(parameter.node, outcome))
                value = parameter.default if not outcome.has_value else outcome.value
                value = outcome if parameter.wants_outcome else value
            if parameter.keyword_only:
                by_keyword[parameter.name] = value
            else:
                arguments.append(value)
        self._started[node.name] = self._clock()
        if isinstance(node, Derived):
            return _derived(node, arguments, by_keyword)
        if isinstance(node, Each):
            return await self._each(node, arguments, by_keyword)
        return await self._fetched(node, node.call, arguments, by_keyword)

    async def _each(self, node: Each, arguments: list[Any], by_keyword: dict[str, Any]) -> _Outcome:
        if not node.derived and self._left_s() <= 0:
            ready = partial(node.late, elements=arguments[0]) if node.late else None
            return _fallen_back(node, _timed_out(node, by_deadline=True), ready)
        values, reasons = [], []
        try:
            elements = sequence_of(node, arguments[0])
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            return _Outcome(Status.FAILED, error=error, root=node.name)
        for position, element in enumerate(elements):
            outcome = await self._element(node.body, node.element, element, arguments[1:], by_keyword)
            if not outcome.has_value:
                failure = element_failed(node.name, position, outcome.error)
                return _Outcome(Status.FAILED, error=failure, root=node.name)
            values.append(outcome.value)
            if outcome.status is Status.FALLBACK:
                reasons.append(outcome.error)
        if not reasons:
            return _Outcome(Status.OK, values)
        return _Outcome(Status.FALLBACK, values, reasons[0], node.name)

    async def _element(
        self,
        body: Fetch | Lookup | Derived,
        parameter: str,
        element: object,
        others: list[Any],
        kw: dict[str, Any],
    ) -> _Outcome:
        names = [each.name for each in body.parameters if not each.keyword_only]
        if parameter in names:
            at = names.index(parameter)
            arguments = [*others[:at], element, *others[at:]]
        else:
            arguments, kw = others, {**kw, parameter: element}
        if isinstance(body, Derived):
            return _derived(body, arguments, kw)
        return await self._fetched(body, body.call, arguments, kw)

    def _left_s(self) -> float:
        return inf if self._at_s is None else self._at_s - self._clock()

    async def _branch(self, node: Branch) -> _Outcome:
        condition = await self.outcome_of(node.condition)
        if not condition.has_value:
            return _upstream(node.condition, condition)
        self._started[node.name] = self._clock()
        try:
            side = node.then if condition.value else node.otherwise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            return _Outcome(Status.FAILED, error=error, root=node.name)
        outcome = await self.outcome_of(side)
        return _passed_on(outcome, side) if outcome.has_value else _upstream(side, outcome, via=side)

    async def _first_of(self, node: FirstOf) -> _Outcome:
        self._started[node.name] = self._clock()
        for choice in node.choices:
            outcome = await self.outcome_of(choice)
            if outcome.has_value:
                return _passed_on(outcome, choice)
        return _upstream(node.choices[0], await self.outcome_of(node.choices[0]))

    async def _fetched(
        self,
        node: Fetch | Lookup,
        function: Callable[..., Any],
        arguments: list[Any],
        by_keyword: dict[str, Any],
    ) -> _Outcome:
        now, left_s = self._clock(), self._left_s()
        if left_s <= 0:
            return _fallen_back(node, _timed_out(node, by_deadline=True))
        waits_s: float | None = min(left_s, inf if node.timeout_s is None else node.timeout_s)
        waits_s = None if waits_s == inf else waits_s
        context, scope = copy_context(), Scope()
        context.run(current_call.set, (self._clock, inf if waits_s is None else now + waits_s, 0))
        context.run(current_scope.set, scope)

        async def call() -> object:
            return await function(*arguments, **by_keyword)

        task = asyncio.get_running_loop().create_task(call(), context=context)
        try:
            await asyncio.wait((task,), timeout=waits_s)
            late = not task.done()
        finally:
            await _end([task])
            await _end([task for _, task in scope.adopted])
        outcome = _timed_out(node, by_deadline=waits_s == left_s) if late else _ended(node, task)
        notes = scope.notes.get(0, {})
        stand_in = notes.stand_in if isinstance(notes, Notes) else None
        if isinstance(notes, Notes):
            notes.stand_in = None
        return replace(_fallen_back(node, outcome, stand_in), notes=notes)


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    alive = [task for task in tasks if not task.done()]
    for task in alive:
        task.cancel()
    if alive:
        await asyncio.wait(alive)


def _ended(node: Fetch | Lookup, task: asyncio.Task[object]) -> _Outcome:
    if task.cancelled():
        error = FetchCancelled(f"{node.name!r} was cancelled from inside or from elsewhere")
        return _Outcome(Status.CANCELLED, error=error, root=node.name)
    if failure := task.exception():
        return _Outcome(Status.FAILED, error=failure, root=node.name)
    value = task.result()
    if isinstance(value, StandIn):
        return _Outcome(Status.FALLBACK, value.value, value.reason, node.name)
    return _Outcome(Status.OK, value)


def _given(value: object) -> _Outcome:
    """An outcome is taken over as it is."""
    return value if isinstance(value, Outcome) else _Outcome(Status.GIVEN, value)


def _derived(node: Derived, arguments: list[Any], by_keyword: dict[str, Any]) -> _Outcome:
    try:
        value = node.function(*arguments, **by_keyword)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return _Outcome(Status.FAILED, error=error, root=node.name)
    if isawaitable(value):
        if iscoroutine(value):
            value.close()
        wrong = NotAValue(f"{node.name!r} is a plain def and returned an awaitable; declare it async def")
        return _Outcome(Status.FAILED, error=wrong, root=node.name)
    return _Outcome(Status.OK, value)


def _fallen_back(node: Node, outcome: _Outcome, ready: StandIn | Stand | None = None) -> _Outcome:
    """What stands by, else the declared fallback, for whatever reason there is no value."""
    if outcome.has_value:
        return outcome
    try:
        if ready is not None:
            value = (ready if isinstance(ready, StandIn) else ready(outcome.error)).value
        elif isinstance(node, Fetch | Lookup) and node.fallback is not MISSING:
            value = node.fallback(outcome.error) if node.fallback_calls else node.fallback  # type: ignore[operator]
            value = value.value if isinstance(value, StandIn) else value
        else:
            return outcome
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as second:
        caused(second, outcome.error)
        return _Outcome(Status.FAILED, error=second, root=node.name)
    return _Outcome(Status.FALLBACK, value, outcome.error, outcome.root)


def _timed_out(node: Fetch | Lookup | Each, *, by_deadline: bool) -> _Outcome:
    error = (
        DeadlinePassed(f"the run's deadline passed before {node.name!r} had a value")
        if by_deadline
        else FetchTimedOut(f"{node.name!r} took longer than {node.timeout_s} s")
    )
    return _Outcome(Status.TIMED_OUT, error=error, root=node.name)


def _upstream(name: str, outcome: _Outcome, via: str | None = None) -> _Outcome:
    return _Outcome(Status.UPSTREAM_FAILED, error=outcome.error, root=outcome.root or name, via=via)


def _passed_on(outcome: _Outcome, via: str) -> _Outcome:
    """A fallback stays one on its way through a branch; what was given is simply there."""
    status = Status.FALLBACK if outcome.status is Status.FALLBACK else Status.OK
    return _Outcome(status, outcome.value, outcome.error, outcome.root, via)
