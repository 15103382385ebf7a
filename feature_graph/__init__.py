"""An async dependency graph of feature fetches, on the standard library alone.

``async def`` is a fetch and runs as a task, ``def`` is derived, pure, and runs inline; parameter names are
the edges; what a caller hands in is declared. Every goal gets a value or a reason by the deadline:

>>> import asyncio
>>> from typing import TypedDict
>>> class Given(TypedDict):
...     user: str
>>> @fetch(timeout=0.05, fallback=0)
... async def visits(user: str) -> int:
...     return {"ann": 3}[user]
>>> def is_new(visits: int) -> bool:
...     return visits == 0
>>> graph = Graph(Given, visits, is_new)
>>> found = asyncio.run(graph.resolve(["is_new", "visits"], given={"user": "bob"}, deadline=0.2))
>>> found.values, found.statuses, found.outcomes["visits"].error, found.degraded("is_new")
({'is_new': True, 'visits': 0}, {'is_new': 'ok', 'visits': 'fallback'}, KeyError('bob'), ('visits',))

What stands here is all that a graph and its runs need. Retry, hedge, limits and caches are in ``guards``; the
critical path and what might have been in ``what_if``; ``recording``, ``recording_json`` and ``replay`` run a
run again without a fetch; ``otel`` makes OpenTelemetry spans of it and is the only module that needs more
than the standard library. ``docs/feature_graph.md`` is the tutorial.
"""

from feature_graph.deadline import remaining
from feature_graph.errors import (
    BadBatch,
    BadGraph,
    BadRun,
    BreakerOpen,
    DeadlinePassed,
    ElementFailed,
    FeatureGraphError,
    FetchCancelled,
    FetchError,
    FetchTimedOut,
    KeyMissing,
    NotAValue,
    NoValue,
    Overloaded,
    ResolutionError,
    SwitchedOff,
    TransientError,
)
from feature_graph.graph import Graph
from feature_graph.node import batch, branch, each, fetch, first_of, lookup, wire
from feature_graph.outcome import Outcome, Status
from feature_graph.resolution import Resolution, Span
from feature_graph.resolutions import Resolutions
from feature_graph.scope import StandIn, adopt, note, stand_by

__all__ = [
    "BadBatch",
    "BadGraph",
    "BadRun",
    "BreakerOpen",
    "DeadlinePassed",
    "ElementFailed",
    "FeatureGraphError",
    "FetchCancelled",
    "FetchError",
    "FetchTimedOut",
    "Graph",
    "KeyMissing",
    "NoValue",
    "NotAValue",
    "Outcome",
    "Overloaded",
    "Resolution",
    "ResolutionError",
    "Resolutions",
    "Span",
    "StandIn",
    "Status",
    "SwitchedOff",
    "TransientError",
    "adopt",
    "batch",
    "branch",
    "each",
    "fetch",
    "first_of",
    "lookup",
    "note",
    "remaining",
    "stand_by",
    "wire",
]
