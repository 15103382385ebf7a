"""Context features: what the request gives, and what the application's graph fetches under the deadline.

An application that names ``features = "features.py"`` in its ``app.toml`` defines there:

- ``graph``: a ``feature_graph.Graph``. Its inputs may be ``session_id``, ``unit_id``, ``context`` (the
  request's features as a mapping) and whatever ``clients`` yields; any other input is the feature of that
  name in the request's context, or None.
- ``goals``: names of the nodes that become context features. A value is text, a number or a boolean; None is
  no feature.
- ``clients`` (optional): an asynchronous context manager, entered once at the start of the process, that
  yields a mapping of names to what fetches need: connections, tables.

A feature that the request itself gives is not fetched. A node that fails leaves its feature out; what became
of each is logged with the decision, since a default must never pass for an observation.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from types import ModuleType

from msgspec import Struct

from decision_service.api import MAX_MAGNITUDE, RecommendationRequest
from feature_graph import Graph, Resolution, Status
from sidecar.contracts.application import Features, FeatureValue
from sidecar.contracts.errors import BadApplication

GIVEN = "given"
UNUSABLE = "unusable"
"""Outcome of a node whose value cannot be a feature."""

FETCH_SHARE = 0.6
"""Share of the deadline that fetching may use; the rest is for scores."""

_MAX_TEXT = 1024


class Resolved(Struct, frozen=True):
    """The context as scored."""

    context: Features
    outcomes: dict[str, str]
    """How each feature was had."""


class FeatureSource:
    """Makes contexts. Without a graph the request's features are all there are."""

    def __init__(
        self,
        graph: Graph | None,
        goals: tuple[str, ...],
        clients: Mapping[str, object],
        loop_time: Callable[[], float],
    ) -> None:
        self._graph = graph
        self._goals = goals
        self._clients = clients
        self._loop_time = loop_time

    async def resolve(self, request: RecommendationRequest, deadline_at: float) -> Resolved:
        """The context of ``request``, with what could be fetched by the deadline (on the loop's clock)."""
        outcomes = dict.fromkeys(request.context, GIVEN)
        goals = [goal for goal in self._goals if goal not in request.context]
        if self._graph is None or not goals:
            return Resolved(request.context, outcomes)
        left_s = max((deadline_at - self._loop_time()) * FETCH_SHARE, 0.0)
        found = await self._graph.resolve(goals, given=self._given(self._graph, request), deadline=left_s)
        context: Features = dict(request.context)
        for goal in goals:
            outcomes[goal], value = _feature(found, goal)
            if value is not None:
                context[goal] = value
        return Resolved(context, outcomes)

    def _given(self, graph: Graph, request: RecommendationRequest) -> dict[str, object]:
        own = {
            "session_id": request.session_id,
            "unit_id": request.unit_id or request.session_id,
            "context": request.context,
        }
        return {
            name: own[name] if name in own else self._clients.get(name, request.context.get(name))
            for name in graph.inputs
        }


@asynccontextmanager
async def open_features(
    folder: Path, file: str | None, loop_time: Callable[[], float]
) -> AsyncIterator[FeatureSource]:
    """The features of the application in ``folder``, with its clients open.

    Args:
        folder: the application's.
        file: name of the Python file that defines them; None for an application without.
        loop_time: the clock of the deadlines, in seconds.

    Raises:
        BadApplication: the file is not there, cannot be imported, or defines no such graph.
    """
    if file is None:
        yield FeatureSource(None, (), {}, loop_time)
        return
    module = _load(folder / file)
    graph, goals = _graph_and_goals(module, folder / file)
    async with _clients(module) as clients:
        yield FeatureSource(graph, goals, clients, loop_time)


def _load(path: Path) -> ModuleType:
    name = f"sidearm_application_{path.parent.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        raise BadApplication(f"{path} does not exist: `features` in app.toml names a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's module may raise, they see which file and why
        raise BadApplication(f"{path}: {type(error).__name__}: {error}") from error
    return module


def _graph_and_goals(module: ModuleType, path: Path) -> tuple[Graph, tuple[str, ...]]:
    graph, goals = getattr(module, "graph", None), getattr(module, "goals", None)
    if not isinstance(graph, Graph):
        raise BadApplication(f"{path} defines no `graph`: a feature_graph.Graph")
    if not isinstance(goals, tuple | list) or not goals:
        raise BadApplication(f"{path} defines no `goals`: names of nodes that become context features")
    if unknown := [goal for goal in goals if goal not in graph]:
        raise BadApplication(f"{path}: goals {unknown} are no nodes; legal: {', '.join(sorted(graph.nodes))}")
    return graph, tuple(goals)


def _clients(module: ModuleType) -> AbstractAsyncContextManager[Mapping[str, object]]:
    clients = getattr(module, "clients", None)
    return clients() if clients is not None else nullcontext({})


def _feature(found: Resolution, goal: str) -> tuple[str, FeatureValue | None]:
    """How a node's value was had, and the value; None if there is none, or none that can be a feature.

    What was derived from a fallback is one too: it must not pass for an observation.
    """
    outcome = found.outcomes[goal]
    value = outcome.value if outcome.has_value else None
    if value is None:
        return outcome.status.value, None
    feature = _usable(value)
    if feature is None:
        return UNUSABLE, None
    return (Status.FALLBACK if found.degraded(goal) else outcome.status).value, feature


def _usable(value: object) -> FeatureValue | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str.__str__(value)) if len(value) <= _MAX_TEXT else None
    if isinstance(value, int | float) and -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:
        return float(value)
    return None


def _text(value: str) -> str | None:
    """Text of the plain type; None if UTF-8 has no form for it: it would fail its whole score call."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value
