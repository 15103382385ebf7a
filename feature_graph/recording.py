"""A run written down as data: what the world said, enough to run it again without asking.

Recorded are inputs and the outcome of every node that fetches. What follows from that (derived nodes,
branches, first_ofs) is not: :mod:`feature_graph.replay` works it out again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from feature_graph.node import Each, Fetch, Lookup, Node
from feature_graph.outcome import Outcome, Status
from feature_graph.plain import NO_FORMS, Forms, is_plain
from feature_graph.reasons import message_of
from feature_graph.resolution import Resolution, Span

_FOLLOWS = (Status.GIVEN, Status.NOT_NEEDED, Status.UPSTREAM_FAILED)
"""Of a fetch: handed in, never asked, or a consequence of what is recorded elsewhere."""


@dataclass(frozen=True, slots=True)
class RecordedError:
    """An error as data."""

    kind: str
    """Module and name of its type."""
    message: str
    arguments: tuple[object, ...] | None = None
    """What it was made from, as far as that is plain; None: its message and nothing else."""
    state: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """What became of one fetch."""

    status: Status
    value: object = None
    error: RecordedError | None = None
    root: str | None = None
    via: str | None = None
    notes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recording:
    """What one run was told from outside; values are those of the run, so do not change them."""

    goals: tuple[str, ...]
    given: Mapping[str, object]
    """Inputs, and nodes that were handed in."""
    fetched: Mapping[str, RecordedOutcome]
    """Every node that fetches and was asked for."""
    left_out: tuple[str, ...] = ()
    """Given names whose value is not plain: clients, connections."""
    timeline: tuple[Span, ...] = ()


def record(*runs: Resolution, forms: Forms = NO_FORMS) -> Recording:
    """Write down what a run was told; several runs that went on from one another are told as one.

    Args:
        runs: resolutions, first to last.
        forms: types that count as plain besides those that JSON and :mod:`feature_graph.plain` know.
    """
    given: dict[str, object] = {}
    left_out: dict[str, object] = {}
    fetched: dict[str, RecordedOutcome] = {}
    for run in runs:
        for name, outcome in run.outcomes.items():
            if outcome.status is Status.GIVEN:
                (given if is_plain(outcome.value, forms) else left_out)[name] = outcome.value
            elif fetches(run.nodes.get(name)) and outcome.status not in _FOLLOWS:
                fetched[name] = _recorded(outcome, forms)
    goals = tuple(dict.fromkeys(goal for run in runs for goal in run.goals))
    return Recording(goals, given, fetched, tuple(left_out), tuple(runs[-1].timeline) if runs else ())


def fetches(node: Node | None) -> bool:
    """True if the node asks the world."""
    return isinstance(node, Fetch | Lookup) or (isinstance(node, Each) and not node.derived)


def _recorded(outcome: Outcome[object], forms: Forms) -> RecordedOutcome:
    error = None if outcome.error is None else _recorded_error(outcome.error, forms)
    notes = {key: value for key, value in outcome.notes.items() if is_plain(value, forms)}
    return RecordedOutcome(outcome.status, outcome.value, error, outcome.root, outcome.via, notes)


def _recorded_error(error: BaseException, forms: Forms) -> RecordedError:
    kind = type(error)
    state = {key: value for key, value in vars(error).items() if is_plain(value, forms)}
    message, arguments = message_of(error), tuple(error.args)
    told = None if arguments == (message,) or not is_plain(arguments, forms) else arguments
    return RecordedError(f"{kind.__module__}.{kind.__qualname__}", message, told, state)
