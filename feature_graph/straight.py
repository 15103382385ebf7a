"""Plans whose fetches wait for one another: a run of one is a straight line, and needs no scheduler.

Where every two fetches are in order (one is needed for the other, or a branch takes only one of them),
nothing is gained by starting nodes as soon as they can: they are laid out here in the order of their demand,
with jumps for branches, and :mod:`feature_graph.straight_run` walks along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

CALL: Final = 0
"""Call a derived node."""
FETCH: Final = 1
"""Await a fetch; on the line of many runs together with the ``jump`` fetches after it."""
TEST: Final = 2
"""Take a side of a branch; the other one is at ``jump``."""
PASS: Final = 3
"""A branch has the value of the side that it took; go on at ``jump``."""


MOST_NODES, MOST_OPS = 200, 1_000
"""Of a line; the sides of branches within branches are laid out once for each way to them."""


class TooLong(Exception):
    """The scheduler does better."""


class Op(NamedTuple):
    """One thing to do."""

    kind: int
    place: int
    function: Callable[..., Any] | None = None
    arity: int = 0
    first: int = 0
    second: int = 0
    pick: Callable[[list[object]], Iterable[object]] | None = None
    timeout_s: float = 0.0
    name: str = ""
    jump: int = 0


class Node(NamedTuple):
    """As much of a step of a plan as is needed here."""

    place: int
    name: str
    dependencies: tuple[int, ...]
    sides: tuple[int, ...]
    timeout_s: float


class Kinds(NamedTuple):
    """Indices by what the engine does with them."""

    given: frozenset[int]
    fetches: frozenset[int]
    branches: frozenset[int]


Call = tuple[Callable[..., Any] | None, int, int, int, Callable[[list[object]], Iterable[object]] | None]
"""Function, arity, places of the first two arguments, and all of them."""


class Parts(NamedTuple):
    """What a line is made of."""

    steps: Sequence[Node]
    calls: Sequence[Call]
    kinds: Kinds


def fetching_last(parts: Parts, goals: Sequence[int]) -> list[int]:
    """The goals, those with fetches behind them after the others, which all have before anybody waits."""
    fetches = parts.kinds.fetches
    return sorted(goals, key=lambda goal: not fetches.isdisjoint(_behind(parts.steps, (goal,))))


def after_fetches(line: Sequence[Op]) -> int:
    """The place behind the last of them."""
    return max([place + 1 for place, op in enumerate(line) if op.kind == FETCH], default=0)


def next_fetches(line: Sequence[Op]) -> dict[int, int]:
    """Where one goes on after a fetch, to the place of the fetch that comes next whatever happens, if any."""
    found = {}
    for place, op in enumerate(line):
        if op.kind == FETCH and op.jump == 0:
            ahead = _past_calls(line, place + 1)
            if ahead < len(line) and line[ahead].kind == FETCH:
                found[place + 1] = ahead
    return found


def _past_calls(line: Sequence[Op], place: int) -> int:
    while place < len(line) and line[place].kind in (CALL, PASS):
        place = line[place].jump if line[place].kind == PASS else place + 1
    return place


def straight_line(
    steps: Sequence[Node], calls: Sequence[Call], kinds: Kinds, goals: Sequence[int]
) -> tuple[Op, ...] | None:
    """The plan as a line; None where it is none."""
    for step in steps:
        callable_ = calls[step.place][4] is not None
        if step.place not in kinds.given and step.place not in kinds.branches and not callable_:
            return None
    if len(steps) > MOST_NODES:
        return None
    if any(branch in _behind(steps, steps[branch].sides) for branch in kinds.branches):
        return None  # no run goes around such a ring; who lays it out would
    for one, other in combinations(sorted(kinds.fetches), 2):
        if _may_overlap(steps, kinds, goals, one, other):
            return None
    ops: list[Op] = []
    done = frozenset[int]()
    try:
        for goal in goals:
            done = _lay_out(goal, done, steps, calls, kinds, ops)
    except TooLong:
        return None
    return tuple(ops)


def waves(steps: Sequence[Node], calls: Sequence[Call], kinds: Kinds) -> tuple[Op, ...] | None:
    """The plan as a line on which fetches that may overlap are asked for together; None where it is none.

    All of them are waited for then, so what comes next must need them all; and there is no branch, so that
    every run needs every node.
    """
    own = [step for step in steps if step.place not in kinds.given]
    if kinds.branches or len(own) > MOST_NODES or any(calls[step.place][4] is None for step in own):
        return None
    ops: list[Op] = []
    before: set[int] = set()
    for here in _levels(own, kinds):
        fetches = [step for step in here if step.place in kinds.fetches]
        if len(before) > 1 and any(not before <= _behind(steps, (step.place,)) for step in fetches):
            return None
        ops += [_op(CALL, step, calls) for step in here if step.place not in kinds.fetches]
        ops += [_op(FETCH, step, calls)._replace(jump=left) for left, step in _countdown(fetches)]
        before = {step.place for step in fetches}
    return tuple(ops)


def _levels(own: Sequence[Node], kinds: Kinds) -> list[list[Node]]:
    """Nodes by how many fetches there are one behind the other before them; each after all that it needs."""
    level_of = dict.fromkeys(kinds.given, 0)
    levels: list[list[Node]] = [[] for _ in range(len(kinds.fetches) + 1)]
    waiting = list(own)
    while waiting:
        ready = [step for step in waiting if level_of.keys() >= {*step.dependencies}]
        for step in ready:
            behind = [level_of[place] + (place in kinds.fetches) for place in step.dependencies]
            level_of[step.place] = level = max(behind, default=0)
            levels[level].append(step)
        waiting = [step for step in waiting if step.place not in level_of]
    return levels


def _countdown(steps: Sequence[Node]) -> Iterator[tuple[int, Node]]:
    return zip(range(len(steps) - 1, -1, -1), steps, strict=True)


def _op(kind: int, step: Node, calls: Sequence[Call]) -> Op:
    function, arity, first, second, pick = calls[step.place]
    return Op(kind, step.place, function, arity, first, second, pick, step.timeout_s, step.name)


def _lay_out(
    index: int,
    done: frozenset[int],
    steps: Sequence[Node],
    calls: Sequence[Call],
    kinds: Kinds,
    ops: list[Op],
) -> frozenset[int]:
    """Append what it takes to have ``index``; what is done for certain after it."""
    if index in done or index in kinds.given:
        return done
    if len(ops) > MOST_OPS:
        raise TooLong
    step = steps[index]
    for dependency in step.dependencies:
        done = _lay_out(dependency, done, steps, calls, kinds, ops)
    if index in kinds.branches:
        _lay_out_branch(step, done, steps, calls, kinds, ops)
        return done | {index}
    ops.append(_op(FETCH if index in kinds.fetches else CALL, step, calls))
    return done | {index}


def _lay_out_branch(
    step: Node,
    done: frozenset[int],
    steps: Sequence[Node],
    calls: Sequence[Call],
    kinds: Kinds,
    ops: list[Op],
) -> None:
    """Test, one side, its value; the other side, its value."""
    (condition,), (then, otherwise) = step.dependencies, step.sides
    test = len(ops)
    ops.append(Op(TEST, step.place, first=condition))
    _lay_out(then, done, steps, calls, kinds, ops)
    passed = len(ops)
    ops.append(Op(PASS, step.place, first=then))
    ops[test] = Op(TEST, step.place, first=condition, jump=len(ops))
    _lay_out(otherwise, done, steps, calls, kinds, ops)
    ops.append(Op(PASS, step.place, first=otherwise, jump=len(ops) + 1))
    ops[passed] = Op(PASS, step.place, first=then, jump=len(ops))


def _may_overlap(steps: Sequence[Node], kinds: Kinds, goals: Sequence[int], one: int, other: int) -> bool:
    """Whether both may be under way at once."""
    if one in _behind(steps, (other,)) or other in _behind(steps, (one,)):
        return False
    return not any(
        _only_by(steps, kinds, goals, branch, one) != _only_by(steps, kinds, goals, branch, other)
        and None
        not in (_only_by(steps, kinds, goals, branch, one), _only_by(steps, kinds, goals, branch, other))
        for branch in kinds.branches
    )


def _only_by(steps: Sequence[Node], kinds: Kinds, goals: Sequence[int], branch: int, node: int) -> int | None:
    """The side of ``branch`` without which ``node`` is never wanted."""
    for side in (0, 1):
        if node not in _behind(steps, goals, without=(branch, side)):
            return side
    return None


def _behind(steps: Sequence[Node], roots: Iterable[int], without: tuple[int, int] | None = None) -> set[int]:
    """All that ``roots`` may need, but for what only a side of a branch needs, if one is named."""
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        index = stack.pop()
        if index not in seen:
            seen.add(index)
            stack += steps[index].dependencies
            stack += _sides(steps[index], without)
    return seen


def _sides(step: Node, without: tuple[int, int] | None) -> Iterator[int]:
    for place, side in enumerate(step.sides):
        if (step.place, place) != without:
            yield side
