"""The application's own rules: plain functions of Python, named in ``[rules]`` of its ``app.toml``.

``answer`` and ``exclude`` become nodes of the feature graph: parameter names are edges, so a rule asks for
cheap nodes by their names, and what it says has an outcome like everything else. Without a graph they may ask
for what the service knows of a request, and for features of its context. ``segments`` are asked for nothing
but the context as it is scored.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, new_class
from typing import Any, TypedDict

import msgspec

from decision_service.feature_module import OF_A_REQUEST, Declared, check_first_look, load_module
from feature_graph import BadGraph, Graph
from sidecar.contracts.application import Features
from sidecar.contracts.errors import BadApplication
from sidecar.contracts.exploring import SegmentRule
from sidecar.contracts.rules_section import RulesConfig

log = logging.getLogger("sidearm.decision_service")

Rule = Callable[..., Any]


class Rules(msgspec.Struct, frozen=True):
    """What the application's file of rules defines."""

    path: Path
    answer: dict[str, Rule] = {}
    exclude: dict[str, Rule] = {}
    segments: dict[str, SegmentRule] = {}
    """Harmless: whatever they do, they give True or False."""


def load_rules(folder: Path, config: RulesConfig) -> Rules:
    """The rules that ``config`` names.

    Raises:
        BadApplication: their file is not there or cannot be imported, or has no such function.
    """
    path = folder / config.file
    if not (config.answer or config.exclude or config.segments):
        return Rules(path)
    module = load_module(path, "`file` in [rules] of app.toml names a Python file")
    return Rules(
        path,
        {name: _function(module, name, path) for name in config.answer},
        {name: _function(module, name, path) for name in config.exclude},
        {name: harmless(name, _plain(module, name, path)) for name in config.segments},
    )


def _function(module: ModuleType, name: str, path: Path) -> Rule:
    rule: Rule | None = getattr(module, name, None)
    if rule is None:
        legal = ", ".join(sorted(n for n, one in vars(module).items() if inspect.isfunction(one)))
        raise BadApplication(f"{path} has no rule {name!r}; functions there: {legal or 'none'}")
    if not callable(rule):
        raise BadApplication(f"{path}: {name!r} is a {type(rule).__name__}; legal: a function")
    return rule


def _plain(module: ModuleType, name: str, path: Path) -> Rule:
    rule = _function(module, name, path)
    if inspect.iscoroutinefunction(rule):
        raise BadApplication(f"{path}: {name!r}, a rule of segments, is `async`; legal: a plain function")
    return rule


def harmless(name: str, rule: Rule) -> SegmentRule:
    """The rule of a segment, which may be asked for every decision: one that fails says no, and is told once.

    It can change nothing either: what it gets is a copy.
    """
    told: set[type[Exception]] = set()

    def asked(context: Features) -> bool:
        try:
            return bool(rule(dict(context)))
        except Exception as error:  # the application's own code may raise anything
            if type(error) not in told:
                told.add(type(error))
                log.warning("the rule of segment %s failed: %s: %s", name, type(error).__name__, error)
            return False

    return asked


def with_rules(declared: Declared | None, rules: Rules, deadline_s: float) -> Declared | None:
    """What the application declares, with its rules as nodes of the first look.

    Raises:
        BadApplication: they ask for what is not there, or for what is not cheap.
    """
    functions = {**rules.exclude, **rules.answer}
    if not functions:
        return declared
    if declared and (taken := next((name for name in functions if name in declared.graph), None)):
        raise BadApplication(f"{rules.path}: rule {taken!r} is also a node of the graph; rename one")
    try:
        graph = _graph_of(functions) if declared is None else _more(declared.graph, functions)
    except BadGraph as error:
        raise BadApplication(f"{rules.path}: {' '.join(str(error).split())}") from error
    known = Declared(graph) if declared is None else msgspec.structs.replace(declared, graph=graph)
    found = msgspec.structs.replace(
        known, first_look=(*known.first_look, *rules.exclude), answers=tuple(rules.answer)
    )
    check_first_look(found, rules.path, deadline_s)
    return found


def _more(graph: Graph, functions: Mapping[str, Rule]) -> Graph:
    """The application's graph with nodes more, which may also read what is known of every request."""
    build, (given, nodes, named) = graph.recipe
    assert isinstance(given, type)
    asked = {name for rule in functions.values() for name in _parameters(rule)}
    unsaid = asked.intersection(OF_A_REQUEST) - graph.inputs - set(graph.nodes)
    return build(_wider(given, unsaid), nodes, {**named, **functions})  # type: ignore[dict-item]  # rules are nodes


def _wider(given: type, unsaid: set[str]) -> type:
    """The TypedDict with fields more; under its own name, which messages tell."""
    if not unsaid:
        return given
    body = {"__module__": given.__module__, "__annotations__": dict.fromkeys(unsaid, Any)}
    return new_class(given.__name__, (given,), exec_body=lambda namespace: namespace.update(body))


def _graph_of(functions: Mapping[str, Rule]) -> Graph:
    """A graph of rules alone: what they ask for is given."""
    asked = {name: Any for rule in functions.values() for name in _parameters(rule) if name not in functions}
    given = TypedDict("given", asked)  # type: ignore[misc]  # its fields are known at run time only
    return Graph(given, **functions)


def _parameters(rule: Rule) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(rule).parameters)
    except (TypeError, ValueError):
        return ()  # the graph says what is wrong with it
