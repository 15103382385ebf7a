"""A recorded run again, without a single fetch: a new derived feature is tried on last week's traffic."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from feature_graph import async_engine, errors
from feature_graph.errors import NotRecorded, Recorded
from feature_graph.node import Derived, Each, Fetch, Lookup, Node
from feature_graph.outcome import Outcome, Status
from feature_graph.plan import Kind, Plan, compile_plan
from feature_graph.reasons import message_of
from feature_graph.recording import RecordedError, RecordedOutcome, Recording, fetches
from feature_graph.resolution import Resolution

if TYPE_CHECKING:
    from feature_graph.graph import Graph


def replay(
    graph: Graph,
    recording: Recording,
    goals: str | Iterable[str] | None = None,
    *,
    given: Mapping[str, object] | None = None,
) -> Resolution:
    """Run a graph on what was recorded. Nothing is fetched, no event loop is needed, nothing waits.

    Args:
        graph: the graph of the recording, or a later one with other derived nodes.
        recording: what the world said.
        goals: what to ask for; by default what the recorded run was asked.
        given: inputs that the recording left out, and values to try instead of the recorded ones.

    Returns:
        A resolution with the values and words of the recorded run, as far as the graph is the same. A fetch
        that the recording does not hold has ``failed`` with :class:`NotRecorded`.

    Raises:
        BadRun: an unknown goal or given name, or an input that is needed and was not recorded.
    """
    wanted = recording.goals if goals is None else (goals,) if isinstance(goals, str) else tuple(goals)
    known = _known(graph, recording, given or {})
    absent = (graph.inputs - known.keys()) | set(recording.left_out).difference(given or ())
    nodes = {name: node if name in known else _silent(node, absent) for name, node in graph.nodes.items()}
    outcomes = frozenset((name, o.has_value) for name, o in known.items() if isinstance(o, Outcome))
    plan = compile_plan(nodes, graph.inputs, wanted, frozenset(known), outcomes)
    return async_engine.resolve_at_once(_in_order(plan, recording), known)


def _in_order(plan: Plan, recording: Recording) -> Plan:
    """Let what failed fail in the order in which it did: a node that lost two is told of the first."""
    ended_s = {span.name: span.end_s for span in recording.timeline if span.status is not Status.CANCELLED}

    def time_of(index: int) -> float:
        step = plan.steps[index]
        return ended_s.get(step.name, inf) if step.kind == Kind.LOST else -1.0

    return replace(plan, ready=tuple(sorted(plan.ready, key=time_of)))


def _known(graph: Graph, recording: Recording, given: Mapping[str, object]) -> dict[str, object]:
    """Names to values and outcomes, as far as the graph has such names; what is handed in goes first."""
    known: dict[str, object] = {
        name: Outcome(Status.FAILED, error=NotRecorded(f"{name!r} is not plain, and was left out"), root=name)
        for name in recording.left_out
        if name in graph.inputs
    }
    for name, outcome in recording.fetched.items():
        if fetches(graph.nodes.get(name)):
            known[name] = _outcome_of(name, outcome)
    present = {n: value for n, value in recording.given.items() if n in graph.inputs or n in graph.nodes}
    return {**known, **present, **given}


def _outcome_of(name: str, told: RecordedOutcome) -> Outcome[object]:
    error = None if told.error is None else _error_of(told.error)
    if error is None and told.status is Status.CANCELLED:
        error = NotRecorded(f"the recorded run ended {name!r} before it answered, as nobody waited any more")
    return Outcome(told.status, told.value, error, told.root, told.via, told.notes)


def _silent(node: Node, absent: frozenset[str]) -> Node:
    """In place of a fetch that the recording does not hold: the same needs, and no answer."""
    if not fetches(node):
        return node
    assert isinstance(node, Fetch | Lookup | Each)

    def not_recorded(*_: object, **__: object) -> object:
        raise NotRecorded(f"{node.name!r} is not in the recording, and a replay fetches nothing")

    needs = [each for each in node.parameters if each.node not in absent]
    shown = tuple(replace(each, name=f"p{place}") for place, each in enumerate(needs))
    return Derived(node.name, not_recorded, shown, node.place)


def _error_of(told: RecordedError) -> BaseException:
    """An error of the same type and message; :class:`Recorded` if the type is neither ours nor Python's."""
    module, _, name = told.kind.rpartition(".")
    home = {"builtins": builtins, "feature_graph.errors": errors}.get(module)
    kind = getattr(home, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            error = kind.__new__(kind, *((told.message,) if told.arguments is None else told.arguments))
            vars(error).update(told.state)
        except TypeError:
            pass
        else:
            if message_of(error) == told.message:
                return error
    return Recorded(told.message, told.kind)
