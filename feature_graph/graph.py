"""The graph: names checked, cycles refused, when it is built and never later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from itertools import chain
from types import MappingProxyType
from typing import Any, TypeVar, is_typeddict

from feature_graph import async_engine, bounds, picture, sync_engine
from feature_graph.cycles import find_cycle
from feature_graph.deadline import seconds_of
from feature_graph.declared import node_of
from feature_graph.edge_types import type_problems
from feature_graph.errors import BadGraph
from feature_graph.impact import Impact, without
from feature_graph.node import Declared, Node, edges_of
from feature_graph.outcome import Outcome
from feature_graph.plan import Plan, compile_plan
from feature_graph.reading import Unreadable
from feature_graph.resolution import NOTHING, Resolution
from feature_graph.resolutions import Resolutions

T = TypeVar("T")
_NONE: frozenset[tuple[str, bool]] = frozenset()
_OUTCOME = frozenset((Outcome,))
WATCH_EVERY = 16
"""One run in so many, the first included, times every step of its fetches: always to do so would cost a fifth
of a fetch, and whoever blocks the loop does so again."""
_PLANS_KEPT = 256
"""Plans per graph: one per set of goals and given names, of which a service has a handful."""


_Of = tuple[tuple[str, ...], frozenset[str], frozenset[tuple[str, bool]], frozenset[str]]
"""What a plan is of: goals, given names, those given as outcomes, those that are common."""


class Graph:
    """Features and what they need; immutable, shared by any number of concurrent runs and threads.

    Attributes:
        nodes: every node by name.
        inputs: names that the caller hands in.
    """

    def __init__(
        self, given: type, /, *nodes: Callable[..., Any], **named: Callable[..., Any] | Declared
    ) -> None:
        """Build and check.

        Args:
            given: a TypedDict of all that a caller may hand in; a name that is neither there nor a node is
                a mistake, and is refused.
            nodes: functions, each under its own name.
            named: functions, ``branch(...)``, ``first_of(...)``, ``lookup(...)``, ``each(...)`` and
                ``wire(...)`` under the keyword's name.

        Raises:
            BadGraph: all problems at once: unknown or doubled names, cycles, functions that cannot be nodes,
                values and fallbacks of a type that their reader does not take.
        """
        self.recipe: tuple[Callable[..., Graph], tuple[object, ...]] = (_built, (given, nodes, named))
        """What a copy is made by, in this process or in another."""
        self.inputs = _inputs(given)
        found, problems = _read_all(given, self.inputs, nodes, named)
        problems += _unknown_names(found, self.inputs, given)
        if not problems:
            problems += _cycle(found) + type_problems(found, given)
        if problems:
            raise BadGraph(tuple(problems))
        self.nodes: Mapping[str, Node] = MappingProxyType(found)
        self._runs = 0
        self._plans: dict[_Of, Plan] = {}
        self._plans_of_many: dict[tuple[tuple[str, ...], ...], Plan] = {}

    async def resolve(
        self,
        goals: str | Iterable[str],
        *,
        given: Mapping[str, object],
        deadline: float | timedelta | None = None,
        required: bool | Iterable[str] = False,
    ) -> Resolution:
        """Fetch and derive what the goals need, in parallel, and nothing else.

        Args:
            goals: a name, or several.
            given: values of the inputs, and of any node that is not to be run (tests, replays). An
                :class:`Outcome` is taken over as what became of that node, failures too: so a second run
                goes on from a first one (``{**inputs, **first.settled}``).
            deadline: seconds from now; inside a fetch of another run at most what that run has left.
            required: goals without which the answer is worthless (True: all of them); the first that fails
                ends the run.

        Returns:
            A value or a reason for every goal, at the deadline at the latest (and a few ms of grace if a
            fetch resists cancellation). No task of the run is alive after it, but those that resist and are
            named in :attr:`Resolution.abandoned`.

        Raises:
            BadRun: an unknown goal, an input that is missing or unknown, a deadline that is no number.
            ResolutionError: a required goal has no value.
            asyncio.CancelledError: the caller was cancelled; every fetch of the run is cancelled first.
        """
        plan = self.plan(goals, given)
        self._runs += 1
        return await async_engine.resolve(
            plan,
            given,
            seconds_of(deadline, "deadline"),
            _names(required, plan),
            watching=self._runs % WATCH_EVERY == 1,
        )

    async def resolve_all(
        self,
        goals: str | Iterable[str],
        *,
        given: Sequence[Mapping[str, object]],
        deadlines: Sequence[float | None],
        common: Mapping[str, object] = NOTHING,
    ) -> Resolutions:
        """Run the same goals for many callers at once; what each would have been told alone, in their order.

        Where all that is fetched for single callers is looked up (:func:`lookup`), a batch is asked once with
        the keys of all, if no two fetches could be under way at once, or whatever is fetched after those
        that could needs them all, and there is no branch; every other graph is run for each by itself.

        Args:
            goals: a name, or several.
            given: what :meth:`resolve` would be given for each caller.
            deadlines: seconds from now that each has; None: all the time there is.
            common: values that all of them are given besides, under names that ``given`` leaves out. What
                needs nothing else is found out once for all, and may be fetched in any way.

        Raises:
            As :meth:`resolve`: a mistake in one of them is everybody's.
        """
        wanted = (goals,) if isinstance(goals, str) else tuple(goals)
        if len({*map(tuple, given)}) == 1 and _OUTCOME.isdisjoint(_kinds(given)):
            plan = self._plan_of_many(wanted, tuple(given[0]), given[0], common)
            return await self._run_all(plan, given, deadlines, common)
        shared = tuple(common)
        by_plan: dict[int, tuple[Plan, list[int]]] = {}
        for place, one in enumerate(given):
            if _OUTCOME.isdisjoint(_kinds((one,))):
                plan = self._plan_of_many(wanted, tuple(one), one, common)
            else:
                plan = self.plan(wanted, {**common, **one}, shared)
            by_plan.setdefault(id(plan), (plan, []))[1].append(place)
        if len(by_plan) == 1:
            return await self._run_all(plan, given, deadlines, common)
        found = await _all(
            [
                self._run_all(plan, [given[p] for p in of], [deadlines[p] for p in of], common)
                for plan, of in by_plan.values()
            ]
        )
        told = dict(zip(chain(*[of for _, of in by_plan.values()]), chain(*found), strict=True))
        return Resolutions([told[place] for place in range(len(given))])

    def _run_all(
        self,
        plan: Plan,
        given: Sequence[Mapping[str, object]],
        deadlines: Sequence[float | None],
        common: Mapping[str, object],
    ) -> Coroutine[Any, Any, Resolutions]:
        """Side by side if they can, else each by itself."""
        self._runs += 1
        watching = self._runs % WATCH_EVERY == 1
        if plan.columns is not None:
            return async_engine.resolve_all(plan, given, deadlines, common, watching)
        return _by_themselves(plan, [{**common, **one} for one in given], deadlines, watching)

    async def resolve_in_order(
        self,
        goals: str | Iterable[str],
        *,
        given: Mapping[str, object],
        deadline: float | timedelta | None = None,
        required: bool | Iterable[str] = False,
    ) -> Resolution:
        """The same answer one node at a time: for debugging, and as the definition of what is right."""
        plan = self.plan(goals, given)
        return await sync_engine.resolve(
            plan, given, seconds_of(deadline, "deadline"), _names(required, plan)
        )

    def _plan_of_many(
        self,
        wanted: tuple[str, ...],
        names: tuple[str, ...],
        given: Mapping[str, object],
        common: Mapping[str, object],
    ) -> Plan:
        """As :meth:`plan`, which takes longer, where nothing is given as an outcome."""
        key = wanted, names, tuple(common)
        plan = self._plans_of_many.get(key)
        if plan is None:
            plan = self.plan(wanted, {**common, **given}, key[2])
            if len(self._plans_of_many) >= _PLANS_KEPT:
                self._plans_of_many = {}
            if not plan.outcomes:
                self._plans_of_many[key] = plan
        return plan

    def plan(self, goals: str | Iterable[str], given: Iterable[str], common: Iterable[str] = ()) -> Plan:
        """What a run needs to know, compiled once per goals and given names.

        Call it when a service starts: a goal or input that does not exist is found before any request.

        Args:
            goals: a name, or several.
            given: names, or values by their names.
            common: those of them that :meth:`resolve_all` gives to all of its callers.

        Raises:
            BadRun: an unknown goal, or an input that is missing or unknown.
        """
        as_outcomes = _outcomes(given) if Outcome in map(type, getattr(given, "values", tuple)()) else _NONE
        names = (goals,) if isinstance(goals, str) else tuple(goals)
        key = (names, frozenset(given), as_outcomes, frozenset(common))
        plan = self._plans.get(key)
        if plan is None:
            plan = compile_plan(self.nodes, self.inputs, *key)
            if len(self._plans) >= _PLANS_KEPT:
                self._plans = {}
            self._plans[key] = plan
        return plan

    def worst_case(self, goal: str) -> float:
        """Seconds until ``goal`` has a value or a reason, whatever its fetches do; inf without timeouts.

        Derived nodes are taken to cost nothing.

        Raises:
            BadRun: the goal is neither a node nor an input.
        """
        return bounds.worst_case_s(self.nodes, self.inputs, goal)

    def worst_path(self, goal: str) -> tuple[bounds.Wait, ...]:
        """What :meth:`worst_case` is made of: node and seconds, first to last.

        Raises:
            BadRun: the goal is neither a node nor an input.
        """
        return bounds.worst_path(self.nodes, self.inputs, goal)

    def check_deadline(self, goals: str | Iterable[str], deadline: float | timedelta) -> None:
        """Call it when a service starts: the timeouts behind every goal fit into the deadline.

        Raises:
            CannotMeet: some do not; the message names the goals and the waits that make them late.
            BadRun: an unknown goal, or a deadline that is no number.
        """
        wanted = (goals,) if isinstance(goals, str) else tuple(goals)
        bounds.check_deadline(self.nodes, self.inputs, wanted, seconds_of(deadline, "deadline") or 0.0)

    def without(self, name: str) -> Impact:
        """Which nodes degrade, and to what, if a node, a source or a client is down; and a graph where it is.

        Raises:
            BadRun: ``name`` is none of these.
        """
        return without(self, name)

    def mermaid(self, goals: str | Iterable[str] | None = None, *, run: Resolution | None = None) -> str:
        """The graph, or what some goals may need of it, as a Mermaid flowchart; with a run's times on it."""
        wanted = None if goals is None else (goals,) if isinstance(goals, str) else tuple(goals)
        return picture.mermaid(self.nodes, self.inputs, wanted, run)

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"Graph({len(self.nodes)} nodes, inputs {', '.join(sorted(self.inputs)) or 'none'})"

    def __reduce__(self) -> tuple[Callable[..., Graph], tuple[object, ...]]:
        return self.recipe


def _kinds(given: Sequence[Mapping[str, object]]) -> Iterable[type]:
    """Of all values."""
    return map(type, chain.from_iterable([one.values() for one in given]))


async def _by_themselves(
    plan: Plan, given: Sequence[Mapping[str, object]], deadlines: Sequence[float | None], watching: bool
) -> Resolutions:
    runs = [
        async_engine.resolve(plan, one, deadline, watching=watching)
        for one, deadline in zip(given, deadlines, strict=True)
    ]
    return Resolutions(await _all(runs))


async def _all(runs: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All of them at once, and none alive after it; a task each only where there are several."""
    if len(runs) == 1:
        return [await runs[0]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run) for run in runs]
    return [task.result() for task in tasks]


def _built(
    given: type,
    nodes: tuple[Callable[..., Any], ...],
    named: dict[str, Callable[..., Any] | Declared],
) -> Graph:
    return Graph(given, *nodes, **named)


def _inputs(given: type) -> frozenset[str]:
    if not is_typeddict(given):
        raise BadGraph((f"the first argument is {given!r}; legal: a TypedDict of the inputs",))
    return frozenset(given.__annotations__)


def _read_all(
    given: type,
    inputs: frozenset[str],
    nodes: Iterable[Callable[..., Any]],
    named: Mapping[str, Callable[..., Any] | Declared],
) -> tuple[dict[str, Node], list[str]]:
    found: dict[str, Node] = {}
    problems: list[str] = []
    entries: list[tuple[str | None, Callable[..., Any] | Declared]] = [(None, node) for node in nodes]
    for name, entry in (*entries, *named.items()):
        try:
            node = node_of(entry, name)
        except Unreadable as problem:
            problems.append(str(problem))
            continue
        if node.name in found:
            first = found[node.name].place
            problems.append(f"two nodes are called {node.name!r}: at {first} and at {node.place}")
        elif node.name in inputs:
            problems.append(
                f"{node.name!r} is both an input of {_where(given)} and a node at {node.place}; rename one"
            )
        else:
            found[node.name] = node
    return found, problems


def _unknown_names(nodes: Mapping[str, Node], inputs: frozenset[str], given: type) -> list[str]:
    problems = []
    for node in nodes.values():
        for edge in edges_of(node):
            if edge.to not in nodes and edge.to not in inputs:
                near = get_close_matches(edge.to, (*nodes, *inputs), n=1, cutoff=0.5)
                hint = (
                    f"nearest: {near[0]!r} ({_where_is(near[0], nodes, given)})"
                    if near
                    else "nothing is near"
                )
                problems.append(
                    f"{node.name!r} at {node.place} needs {edge.to!r}, which is neither a node nor an input "
                    f"of {_where(given)}; {hint}"
                )
    return problems


def _cycle(nodes: Mapping[str, Node]) -> list[str]:
    path = find_cycle({name: edges_of(node) for name, node in nodes.items()})
    if path is None:
        return []
    places = ", ".join(f"{name!r} at {nodes[name].place}" for name in dict.fromkeys(path))
    return [f"a cycle: {' -> '.join(path)} ({places})"]


def _where_is(name: str, nodes: Mapping[str, Node], given: type) -> str:
    return nodes[name].place if name in nodes else f"input of {_where(given)}"


def _where(given: type) -> str:
    return f"{given.__module__}.{given.__qualname__}"


def _names(required: bool | Iterable[str], plan: Plan) -> frozenset[str]:
    if isinstance(required, bool):
        return frozenset(plan.goals) if required else frozenset()
    return plan.check_required((required,) if isinstance(required, str) else required)


def _outcomes(given: Iterable[str]) -> frozenset[tuple[str, bool]]:
    """Names that were given as outcomes, each with whether it has a value."""
    assert isinstance(given, Mapping)
    return frozenset((name, value.has_value) for name, value in given.items() if isinstance(value, Outcome))
