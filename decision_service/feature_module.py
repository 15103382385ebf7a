"""The application's own file of features: imported, and checked before the first request comes."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import sys
from collections.abc import Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from types import ModuleType

from msgspec import Struct

from feature_graph import BadRun, Graph
from feature_graph.errors import CannotMeet
from sidecar.contracts.errors import BadApplication

log = logging.getLogger("sidearm.decision_service")

FETCH_SHARE = 0.6
"""Share of the deadline that fetching may use, both looks together; the rest is for scores."""
FIRST_LOOK_SHARE = 0.2
"""Share of the deadline that the first look may use of that."""
ARMS = "arms"
"""The input that is not known before the first look is over."""
OF_A_REQUEST = ("session_id", "unit_id", "context", "candidates", "arm_features")
"""The inputs that every request has, before the first look."""


class Surroundings(Struct, frozen=True):
    """Where an application runs: what its ``clients`` may take, to open what lies there."""

    application: str
    """Its name."""
    folder: Path
    """Where its files are."""
    store_url: str
    """The store: of decisions, rewards and weights."""
    feature_store_url: str
    """The feature store, for :func:`decision_service.sources.store.open_feature_store`: one of its own, or
    the same."""


class Declared(Struct, frozen=True):
    """What an application's file defines."""

    graph: Graph
    goals: tuple[str, ...] = ()
    arm_goals: tuple[str, ...] = ()
    first_look: tuple[str, ...] = ()
    """Rules that exclude arms."""
    answers: tuple[str, ...] = ()
    """Rules that may answer at once, in the order in which they are heard. Asked in the first look too."""

    @property
    def rules(self) -> tuple[str, ...]:
        """All that the first look asks for."""
        return (*self.first_look, *self.answers)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The graph's inputs that are known from the start."""
        return tuple(sorted(self.graph.inputs - {ARMS}))

    @property
    def everything(self) -> tuple[str, ...]:
        """What becomes a feature."""
        return self.goals + self.arm_goals


def load_features(path: Path, deadline_s: float) -> tuple[ModuleType, Declared]:
    """Import the file at ``path`` and read what it defines.

    Raises:
        BadApplication: it is not there, cannot be imported, or defines no graph with goals; a rule of the
            first look needs what is not known then, or may take too long.
    """
    module = load_module(path, "`features` in app.toml names a Python file")
    declared = _declared(module, path)
    check_first_look(declared, path, deadline_s)
    _warn_of_late_goals(declared, path, deadline_s * FETCH_SHARE)
    return module, declared


def clients_of(
    module: ModuleType, surroundings: Surroundings
) -> AbstractAsyncContextManager[Mapping[str, object]]:
    """What the file's ``clients`` makes, to be entered; without one nothing.

    Raises:
        BadApplication: it takes something else than nothing or its surroundings.
    """
    clients = getattr(module, "clients", None)
    if clients is None:
        return nullcontext({})
    try:
        opened: AbstractAsyncContextManager[Mapping[str, object]]
        opened = clients(surroundings) if inspect.signature(clients).parameters else clients()
    except TypeError as error:
        raise BadApplication(
            f"{module.__file__}: clients: {error}; legal: `clients()` or `clients(around)`"
        ) from error
    if isinstance(opened, Coroutine):
        opened.close()
    if not isinstance(opened, AbstractAsyncContextManager):
        raise BadApplication(
            f"{module.__file__}: clients gives a {type(opened).__name__}; legal: an asynchronous context "
            "manager, such as a function under @asynccontextmanager"
        )
    return opened


def load_module(path: Path, named_by: str) -> ModuleType:
    """Import the file at ``path``.

    Raises:
        BadApplication: it is not there (``named_by`` says who named it), or cannot be imported.
    """
    name = f"sidearm_application_{path.parent.name}_{path.stem}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        raise BadApplication(f"{path} does not exist: {named_by}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's module may raise, they see which file and why
        raise BadApplication(f"{path}: {type(error).__name__}: {error}") from error
    return module


def _declared(module: ModuleType, path: Path) -> Declared:
    graph = getattr(module, "graph", None)
    if not isinstance(graph, Graph):
        raise BadApplication(f"{path} defines no `graph`: a feature_graph.Graph")
    lists = {name: _names(module, name, graph, path) for name in ("goals", "arm_goals", "first_look")}
    if not lists["goals"] and not lists["arm_goals"]:
        raise BadApplication(
            f"{path} defines no `goals` and no `arm_goals`: names of nodes that become features"
        )
    everything = [name for names in lists.values() for name in names]
    if twice := next((name for name in everything if everything.count(name) > 1), None):
        raise BadApplication(
            f"{path}: {twice!r} stands twice in `goals`, `arm_goals` and `first_look`; legal: once in one"
        )
    return Declared(graph, **lists)


def _names(module: ModuleType, what: str, graph: Graph, path: Path) -> tuple[str, ...]:
    names = getattr(module, what, ())
    if not isinstance(names, tuple | list):
        raise BadApplication(
            f"{path}: `{what}` is a {type(names).__name__}; legal: a tuple of names of nodes"
        )
    if unknown := [name for name in names if name not in graph]:
        raise BadApplication(
            f"{path}: {what} {unknown} are no nodes; legal: {', '.join(sorted(graph.nodes))}"
        )
    return tuple(names)


def check_first_look(declared: Declared, path: Path, deadline_s: float) -> None:
    """Every rule can be asked before the arms are known, and is sure to answer in time.

    Raises:
        BadApplication: one cannot, or is not.
    """
    try:
        declared.graph.plan(declared.rules, declared.inputs)
        declared.graph.check_deadline(declared.rules, deadline_s * FIRST_LOOK_SHARE)
    except BadRun as error:
        raise BadApplication(
            f"{path}: first_look: {error}; before the first look is over the arms are `candidates`"
        ) from error
    except CannotMeet as error:
        raise BadApplication(
            f"{path}: first_look: {_line(error)}. That is {FIRST_LOOK_SHARE:.0%} of deadline_ms: shorten the "
            "timeouts of fetches, or raise it"
        ) from error


def _warn_of_late_goals(declared: Declared, path: Path, share_s: float) -> None:
    try:
        declared.graph.check_deadline((*declared.goals, *declared.arm_goals), share_s)
    except CannotMeet as error:
        log.warning(
            "%s: %s. That is %.0f%% of deadline_ms: features that come later are missing; shorten the "
            "timeouts of fetches, or raise it",
            path,
            _line(error),
            FETCH_SHARE * 100,
        )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
