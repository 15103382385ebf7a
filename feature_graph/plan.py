"""What a run needs to know, worked out once per goals and given names.

Names become indices into arrays; the demand of the goals, as far as no branch decides it, is laid out
beforehand, so that a run begins by copying a few lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import IntEnum
from math import inf
from operator import itemgetter
from typing import Any, Final, NamedTuple

from feature_graph.asking import Asking, asking_of
from feature_graph.each import each_once
from feature_graph.errors import BadRun
from feature_graph.node import (
    MISSING,
    Branch,
    Derived,
    Each,
    Fetch,
    FirstOf,
    Lookup,
    Node,
    Parameter,
    edges_of,
)
from feature_graph.outcome import Status
from feature_graph.straight import (
    Kinds,
    Op,
    Parts,
    after_fetches,
    fetching_last,
    next_fetches,
    straight_line,
    waves,
)
from feature_graph.straight import Node as Place

UNDEMANDED: Final = 1 << 40
"""Missing dependencies of a node that nobody wants yet: it can be counted down and never reaches 0."""
DEMANDED_BELOW: Final = 1 << 30


class Kind(IntEnum):
    """What the engine does with a node that is ready."""

    GIVEN = 0
    DERIVED = 1
    FETCH = 2
    BRANCH = 3
    FIRST_OF = 4
    LOST = 5
    """Handed in as an outcome without a value."""


class Argument(NamedTuple):
    """Where one argument comes from."""

    source: int
    """Index of the node, or -1: always ``default``."""
    keyword: str | None
    default: object
    wants_outcome: bool


@dataclass(slots=True, eq=False)
class Step:
    """One node of a plan, in the form in which the engine reads it."""

    index: int
    name: str
    kind: int
    function: Callable[..., Any] | None = None
    pick: Callable[[list[object]], Iterable[object]] | None = None
    """Values to positional arguments; None if that needs more thought (``arguments``)."""
    arguments: tuple[Argument, ...] = ()
    timeout_s: float = inf
    fallback: object = MISSING
    fallback_calls: bool = False
    late: Callable[..., Any] | None = None
    """Of an ``each``: its fallbacks, for when there is no time left to begin."""
    dependencies: tuple[int, ...] = ()
    """Demanded together with the node."""
    hard: frozenset[int] = frozenset()
    """Those of them without whose value it cannot run."""
    sides: tuple[int, ...] = ()
    """``(then, otherwise)`` of a branch, the choices of a first_of: demanded one at a time."""
    consumers: tuple[int, ...] = ()
    """Who counts this node among its dependencies."""
    users: tuple[int, ...] = ()
    """Branches and first_ofs that have it as a side."""
    gathers: bool = False
    """Of a lookup, or an ``each`` of fetches: its calls wait until nothing else can move."""
    is_goal: bool = False
    waited_for: bool = False
    """By somebody besides its consumers: a goal, or a side."""


Row = tuple[
    Callable[..., Any] | None,
    int,
    int,
    int,
    Callable[[list[object]], Iterable[object]] | None,
    tuple[int, ...],
    bool,
    Step,
]
"""What the queue reads of a step: function (of a derived node only); 1 or 2 for as many plain arguments and
where they are, else 0 and pick; consumers; whether anybody but its consumers waits for it; and the step.
Unpacking it costs less than reading eight attributes."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A graph seen from some goals, with some names given."""

    goals: tuple[str, ...]
    given: tuple[str, ...]
    """Names that the run copies from the caller's values, at indices 0, 1, …"""
    nodes: Mapping[str, Node]
    """The whole graph."""
    index: Mapping[str, int]
    steps: tuple[Step, ...]
    rows: tuple[Row, ...]
    status: tuple[Status | None, ...]
    pending: tuple[int, ...]
    """How many dependencies each node waits for; ``UNDEMANDED`` for those that only a run can call for."""
    ready: tuple[int, ...]
    unsettled_goals: int
    absent: frozenset[str]
    """Inputs that were not given; every parameter that names one has a default."""
    outcomes: tuple[int, ...]
    """Which of the given ones are outcomes."""
    fetches: bool
    """False: no run of it can ever wait."""
    line: tuple[Op, ...] | None = None
    """Where its fetches wait for one another; see :mod:`feature_graph.straight`."""
    columns: tuple[Op, ...] | None = None
    """Where many runs can go along such a line together; see :mod:`feature_graph.columns`."""
    last: int = 0
    """Where nobody on it waits for a fetch any more."""
    meets: Mapping[int, int] = field(default_factory=dict)
    """Where one goes on after a fetch on it, to the fetch that comes next for certain."""
    asking: Mapping[int, Asking] = field(default_factory=dict)
    """How the fetches on it are asked."""
    same: frozenset[int] = frozenset()
    """Nodes on it behind which there is only what all runs are given."""

    def check_required(self, names: Iterable[str]) -> frozenset[str]:
        """The names as a set, if all of them are goals; else :class:`BadRun`."""
        required = frozenset(names)
        stray = sorted(required.difference(self.goals))
        if stray:
            raise BadRun(f"{stray[0]!r} is required but is no goal; goals: {', '.join(self.goals) or 'none'}")
        return required


def compile_plan(
    nodes: Mapping[str, Node],
    inputs: frozenset[str],
    goals: tuple[str, ...],
    given: frozenset[str],
    as_outcomes: frozenset[tuple[str, bool]] = frozenset(),
    common: frozenset[str] = frozenset(),
) -> Plan:
    """Find what the goals may need, and lay it out.

    Args:
        nodes: the graph.
        inputs: its inputs.
        goals: what is wanted.
        given: names that are handed in.
        as_outcomes: those of them that are handed in as an outcome, each with whether it has a value.
        common: those of them that are the same for all runs that go side by side.

    Raises:
        BadRun: a goal or a given name that does not exist, or an input that is needed and not given.
    """
    _refuse_strangers("goal", goals, nodes, inputs)
    _refuse_strangers("given name", sorted(given), nodes, inputs)
    reached = list(_reached(nodes, goals, given))
    absent = frozenset(name for name in reached if name in inputs and name not in given)
    _refuse_missing(nodes, goals, given, reached, absent)
    handed_in = tuple(name for name in reached if name in given)
    names = (*handed_in, *(name for name in reached if name not in given and name not in absent))
    index = {name: place for place, name in enumerate(names)}
    lost = frozenset(name for name, has_value in as_outcomes if not has_value)
    steps = tuple(
        _given_step(place, name, lost) if name in given else _step(place, nodes[name], index)
        for name, place in index.items()
    )
    _link(steps, {index[goal] for goal in goals})
    pending, ready = _initial_demand(steps, [index[goal] for goal in goals])
    status = tuple(Status.GIVEN if step.kind == Kind.GIVEN else None for step in steps)
    unsettled = len({goal for goal in goals if goal not in given or goal in lost})
    outcomes = tuple(index[name] for name, _ in as_outcomes if name in index)
    rows = tuple(_row(step) for step in steps)
    fetches = any(step.kind == Kind.FETCH for step in steps)
    ends = [index[goal] for goal in goals]
    line = None if lost or not fetches else _line(steps, rows, ends)
    same = _same(steps, common)
    told = any(side in outcomes for step in steps for side in step.sides)  # a branch passes on how it was had
    columns, asking = (None, {}) if lost or told else _columns(nodes, steps, rows, ends, same)
    return Plan(
        goals,
        handed_in,
        nodes,
        index,
        steps,
        rows,
        status,
        pending,
        ready,
        unsettled,
        absent,
        outcomes,
        fetches,
        line,
        columns,
        after_fetches(columns or ()),
        next_fetches(columns or ()),
        asking,
        same,
    )


def _line(steps: tuple[Step, ...], rows: tuple[Row, ...], goals: list[int]) -> tuple[Op, ...] | None:
    """Without what stands by for an ``each``, gathers keys, or has choices: those are the scheduler's."""
    if any(step.late is not None or step.gathers or step.kind == Kind.FIRST_OF for step in steps):
        return None
    return straight_line(*_parts(steps, rows), goals)


def _same(steps: tuple[Step, ...], common: frozenset[str]) -> frozenset[int]:
    """Nodes behind which there is only what is common."""
    found = {step.index for step in steps if step.name in common}
    own = [step for step in steps if step.kind not in (Kind.GIVEN, Kind.LOST)]
    while more := {
        s.index for s in own if s.index not in found and found.issuperset(s.dependencies + s.sides)
    }:
        found |= more
    return frozenset(found)


def _columns(
    nodes: Mapping[str, Node],
    steps: tuple[Step, ...],
    rows: tuple[Row, ...],
    goals: list[int],
    same: frozenset[int],
) -> tuple[tuple[Op, ...] | None, dict[int, Asking]]:
    """Of derived nodes, branches, and lookups that share no batch: a key is asked for once in a run.

    What is the same for all runs may be fetched in any way, once for all of them.
    """
    asked = [(step, nodes[step.name]) for step in steps if step.kind == Kind.FETCH]
    batches = [id(batch) for _, node in asked if (batch := _batch(node)) is not None]
    asking = {step.index: found for step, node in asked if (found := _asking(step, node, same)) is not None}
    if len({*batches}) < len(batches) or len(asking) < len(asked):
        return None, {}
    if any(step.kind == Kind.FIRST_OF for step in steps):
        return None, {}
    parts = _parts(steps, rows)
    line = straight_line(*parts, fetching_last(parts, goals))
    alike = all(asking[step.index].once or asking[step.index].alike for step, _ in asked)
    return (waves(*parts) if line is None and alike else line), asking


def _batch(node: Node) -> object | None:
    body = node.body if isinstance(node, Each) else node
    return body.batch if isinstance(body, Lookup) else None


def _asking(step: Step, node: Node, same: frozenset[int]) -> Asking | None:
    """How a fetch is asked by many runs; None where each has to fetch for itself."""
    if isinstance(node, Lookup):
        return asking_of(node, same.issuperset(step.dependencies[1:]))
    if step.index not in same or step.function is None:
        return None
    call = step.function
    if isinstance(node, Each) and isinstance(node.body, Lookup):
        call = each_once(node, node.body)
    return Asking(step.name, call, 1, once=True)


def _parts(steps: tuple[Step, ...], rows: tuple[Row, ...]) -> Parts:
    calls = [(step.function, row[1], row[2], row[3], row[4]) for step, row in zip(steps, rows, strict=True)]
    nodes = [Place(s.index, s.name, s.dependencies, s.sides, s.timeout_s) for s in steps]
    return Parts(nodes, calls, Kinds(*(_of(steps, one) for one in _LINED)))


_LINED = (Kind.GIVEN, Kind.FETCH, Kind.BRANCH)


def _of(steps: tuple[Step, ...], kind: Kind) -> frozenset[int]:
    return frozenset(step.index for step in steps if step.kind == kind)


def _refuse_strangers(
    what: str, names: Iterable[str], nodes: Mapping[str, Node], inputs: frozenset[str]
) -> None:
    for name in names:
        if name not in nodes and name not in inputs:
            near = get_close_matches(str(name), (*nodes, *inputs), n=1, cutoff=0.5)
            hint = f"; nearest: {near[0]!r}" if near else ""
            raise BadRun(f"the {what} {name!r} is neither a node nor an input of this graph{hint}")


def _reached(nodes: Mapping[str, Node], goals: tuple[str, ...], given: frozenset[str]) -> Iterator[str]:
    """Everything that some run for these goals may read, each name once, goals first."""
    seen: set[str] = set()
    stack = list(reversed(goals))
    while stack:
        name = stack.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        if name in nodes and name not in given:
            stack.extend(edge.to for edge in reversed(edges_of(nodes[name])))


def _refuse_missing(
    nodes: Mapping[str, Node],
    goals: tuple[str, ...],
    given: frozenset[str],
    reached: list[str],
    absent: frozenset[str],
) -> None:
    for goal in goals:
        if goal in absent:
            raise BadRun(f"the goal {goal!r} is an input that was not given")
    for name in reached:
        if name in nodes and name not in given:
            for edge in edges_of(nodes[name]):
                if edge.to in absent and not edge.wanted_by_default:
                    raise BadRun(
                        f"the input {edge.to!r} was not given; {name!r} at {nodes[name].place} needs it"
                    )


def _given_step(index: int, name: str, lost: frozenset[str]) -> Step:
    return Step(index, name, int(Kind.LOST if name in lost else Kind.GIVEN))


def _step(place: int, node: Node, index: Mapping[str, int]) -> Step:
    if isinstance(node, Branch):
        condition = index[node.condition]
        sides = (index[node.then], index[node.otherwise])
        hard = frozenset((condition,))
        return Step(place, node.name, int(Kind.BRANCH), dependencies=(condition,), hard=hard, sides=sides)
    if isinstance(node, FirstOf):
        return Step(place, node.name, int(Kind.FIRST_OF), sides=tuple(index[name] for name in node.choices))
    if isinstance(node, Derived):
        return _call_step(place, node, node.function, index)
    step = _call_step(place, node, node.call, index)
    if isinstance(node, Each) and node.derived:
        return step
    step.kind, step.timeout_s = int(Kind.FETCH), inf if node.timeout_s is None else node.timeout_s
    step.gathers = isinstance(node, Each | Lookup)
    if isinstance(node, Each):  # the elements fall back, one by one
        step.late = node.late
    else:
        step.fallback, step.fallback_calls = node.fallback, node.fallback_calls
    return step


def _call_step(
    place: int, node: Fetch | Lookup | Derived | Each, call: Callable[..., Any], index: Mapping[str, int]
) -> Step:
    arguments = tuple(_argument(parameter, index) for parameter in node.parameters)
    wired = [(a.source, p) for a, p in zip(arguments, node.parameters, strict=True) if a.source >= 0]
    return Step(
        place,
        node.name,
        int(Kind.DERIVED),
        function=call,
        pick=_picker(arguments),
        arguments=arguments,
        dependencies=tuple(source for source, _ in wired),
        hard=frozenset(source for source, parameter in wired if parameter.hard),
    )


def _argument(parameter: Parameter, index: Mapping[str, int]) -> Argument:
    keyword = parameter.name if parameter.keyword_only else None
    return Argument(index.get(parameter.node, -1), keyword, parameter.default, parameter.wants_outcome)


def _picker(arguments: tuple[Argument, ...]) -> Callable[[list[object]], Iterable[object]] | None:
    """The quick way from values to arguments, where nothing may be missing and nothing goes by keyword."""
    if any(a.keyword or a.wants_outcome or a.default is not MISSING for a in arguments):
        return None
    sources = [argument.source for argument in arguments]
    if len(sources) > 1:
        return itemgetter(*sources)
    first = sources[0] if sources else 0
    return itemgetter(slice(first, first + len(sources)))


def _link(steps: tuple[Step, ...], goals: set[int]) -> None:
    consumers: list[list[int]] = [[] for _ in steps]
    users: list[list[int]] = [[] for _ in steps]
    for step in steps:
        for dependency in step.dependencies:
            consumers[dependency].append(step.index)
        for side in dict.fromkeys(step.sides):
            users[side].append(step.index)
    for step in steps:
        step.consumers, step.users = tuple(consumers[step.index]), tuple(users[step.index])
        step.is_goal = step.index in goals
        step.waited_for = step.is_goal or bool(step.users)


def _row(step: Step) -> Row:
    function = step.function if step.kind == Kind.DERIVED else None
    sources = [argument.source for argument in step.arguments] if step.pick is not None else []
    arity = len(sources) if len(sources) in (1, 2) else 0
    first, second = (sources * 2)[:2] if arity else (0, 0)
    return function, arity, first, second, step.pick, step.consumers, step.waited_for, step


def _initial_demand(steps: tuple[Step, ...], goals: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    pending = [UNDEMANDED] * len(steps)
    ready = []
    stack = goals[::-1]
    while stack:
        step = steps[stack.pop()]
        if step.kind == Kind.GIVEN or pending[step.index] != UNDEMANDED:
            continue
        missing = [dep for dep in step.dependencies if steps[dep].kind != Kind.GIVEN]
        pending[step.index] = len(missing)
        if not missing:
            ready.append(step.index)
        stack.extend(reversed(missing))
    return tuple(pending), tuple(ready)
