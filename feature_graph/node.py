"""The graph as data: four kinds of node, frozen, and the constructors that a person writes.

``async def`` is a fetch, ``def`` is derived, and what is decided at run time is explicit: ``branch`` and
``first_of``. A condition hidden in a Python ``if`` cannot be drawn, bounded or replayed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, TypeVar

from feature_graph.deadline import seconds_of
from feature_graph.errors import BadGraph, BadRun

F = TypeVar("F", bound=Callable[..., Any])


class _Missing(Enum):
    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing.MISSING
"""No default, no fallback: None is a legal value of both."""
OPTIONS = "__feature_graph_fetch__"
"""The attribute under which :func:`fetch` leaves its options on the function."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function: an edge of the graph."""

    name: str
    default: object = MISSING
    """Used when the dependency has no value, so that its failure stops here."""
    keyword_only: bool = False
    wants_outcome: bool = False
    """Annotated ``Outcome[T]``: is shown what happened instead of being skipped."""

    @property
    def hard(self) -> bool:
        """True if the node cannot run without this dependency's value."""
        return self.default is MISSING and not self.wants_outcome


@dataclass(frozen=True, slots=True)
class Fetch:
    """A node with effects: an ``async def``, run as a task of its own."""

    name: str
    function: Callable[..., Any] = field(repr=False)
    parameters: tuple[Parameter, ...]
    place: str = field(compare=False)
    timeout_s: float | None = None
    fallback: object = MISSING
    """A value, or a function of the error when ``fallback_calls``."""
    fallback_calls: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """A pure function of other nodes: a plain ``def``, run inline."""

    name: str
    function: Callable[..., Any] = field(repr=False)
    parameters: tuple[Parameter, ...]
    place: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Branch:
    """``then`` if ``condition`` is true, else ``otherwise``; the side not taken is never fetched for it."""

    name: str
    condition: str
    then: str
    otherwise: str
    place: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class FirstOf:
    """The first of ``choices`` that has a value, tried in order; 0, False and None are values."""

    name: str
    choices: tuple[str, ...]
    place: str = field(compare=False)


Node = Fetch | Derived | Branch | FirstOf


class Assumption(NamedTuple):
    """An edge is walked only if the condition came out so."""

    condition: str
    value: bool


class Edge(NamedTuple):
    """A node may need ``to``; always, if ``assumes`` is None and it is not ``weak``."""

    to: str
    assumes: Assumption | None = None
    weak: bool = False
    """Demanded only if the run decides so."""
    wanted_by_default: bool = False
    """The parameter behind it has a default, so that an input that is not given is no error."""


def edges_of(node: Node) -> tuple[Edge, ...]:
    """Everything that a node may ask for, in the order in which it would."""
    if isinstance(node, Branch):
        sides = ((node.then, True), (node.otherwise, False))
        weak = tuple(Edge(side, Assumption(node.condition, taken), weak=True) for side, taken in sides)
        return (Edge(node.condition), *weak)
    if isinstance(node, FirstOf):
        return tuple(Edge(choice, weak=place > 0) for place, choice in enumerate(node.choices))
    return tuple(Edge(each.name, wanted_by_default=each.default is not MISSING) for each in node.parameters)


class FetchOptions(NamedTuple):
    """What :func:`fetch` was told."""

    timeout_s: float | None
    fallback: object


def fetch(*, timeout: float | timedelta | None = None, fallback: object = MISSING) -> Callable[[F], F]:
    """Say how an ``async def`` is fetched; the function itself stays as it is, for tests and type checkers.

    Args:
        timeout: seconds (or a timedelta) that one run waits for it; None waits until the run's deadline.
        fallback: the value to use when there is none (it timed out, raised, or what it needs has no value),
            or a plain function that makes it from the error. It is shared by all runs: do not change it.

    Returns:
        A decorator.

    Raises:
        BadGraph: the timeout is not a positive number of seconds.
    """
    try:
        timeout_s = seconds_of(timeout, "timeout")
    except BadRun as error:
        raise BadGraph((f"@fetch at {place_of_caller()}: {error}",)) from None
    if timeout_s is not None and timeout_s <= 0:
        raise BadGraph((f"@fetch at {place_of_caller()}: timeout is {timeout_s!r}; legal: above 0 s",))

    def mark(function: F) -> F:
        setattr(function, OPTIONS, FetchOptions(timeout_s, fallback))
        return function

    return mark


def branch(condition: str, *, then: str, otherwise: str) -> Branch:
    """Choose between two nodes by the truth of a third; ``Graph(name=branch(...))`` names it."""
    return Branch("", condition, then, otherwise, place_of_caller())


def first_of(*choices: str) -> FirstOf:
    """The first of several nodes that has a value, by outcome and never by truth.

    Raises:
        BadGraph: no choice was named.
    """
    if not choices:
        raise BadGraph((f"first_of at {place_of_caller()} names no node; legal: at least one",))
    return FirstOf("", choices, place_of_caller())


def place_of_caller(depth: Literal[2] = 2) -> str:
    """File and line of whoever called the function that asks."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
