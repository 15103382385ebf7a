"""The graph as data: six kinds of node, frozen, and the constructors that a person writes.

``async def`` is a fetch, ``def`` is derived, and what is decided at run time is explicit: ``branch``,
``first_of``, ``each`` and ``lookup``. A condition hidden in a Python ``if`` cannot be drawn, bounded or
replayed.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Concatenate, Final, Literal, NamedTuple, TypeVar, overload

from feature_graph.deadline import seconds_of
from feature_graph.errors import BadGraph, BadRun

if TYPE_CHECKING:
    from feature_graph.guards import Cache, Retry, Source

F = TypeVar("F", bound=Callable[..., Any])
Async = TypeVar("Async", bound=Callable[..., Awaitable[Any]])
BatchFunction = Callable[Concatenate[list[Any], ...], Awaitable[Mapping[Any, Any]]]
"""First parameter the keys, which come as a list; awaited, a mapping of them to values."""
Batch = TypeVar("Batch", bound=BatchFunction)


class _Missing(Enum):
    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing.MISSING
"""No default, no fallback: None is a legal value of both."""
OPTIONS = "__feature_graph_fetch__"
"""The attribute under which :func:`fetch` and :func:`batch` leave their options on the function."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function: an edge of the graph."""

    name: str
    """As Python has it; what it is called with if it is keyword-only."""
    node: str
    """Whose value it gets; the same name, unless :func:`wire` or :func:`lookup` says otherwise."""
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
class FetchOptions:
    """What :func:`fetch` or :func:`batch` was told."""

    timeout_s: float | None = None
    fallback: object = MISSING
    source: Source | None = None
    retry: Retry | None = None
    hedge: float | timedelta | str | None = None
    idempotent: bool = False
    cache: Cache | None = None
    blocking: bool = False
    max_keys: int | None = None
    """Set by :func:`batch`: keys of one call."""


class _Fetched:
    """What a fetch and a lookup read from their options."""

    __slots__ = ()
    options: FetchOptions

    @property
    def timeout_s(self) -> float | None:
        """Seconds that one run waits for it, all attempts together; None: until the run's deadline."""
        return self.options.timeout_s

    @property
    def fallback(self) -> object:
        """A value, a function of the error when ``fallback_calls``, or ``MISSING``."""
        return self.options.fallback


@dataclass(frozen=True, slots=True)
class Fetch(_Fetched):
    """A node with effects: an ``async def``, run as a task of its own."""

    name: str
    function: Callable[..., Any] = field(repr=False)
    """As it was written."""
    parameters: tuple[Parameter, ...]
    place: str = field(compare=False)
    options: FetchOptions = field(default_factory=FetchOptions)
    fallback_calls: bool = False
    """The fallback is a function of the error."""
    call: Callable[..., Any] = field(default=lambda: None, repr=False, compare=False)
    """What a run calls: the function inside its retry, hedge, bulkhead, breaker and cache."""


@dataclass(frozen=True, slots=True)
class Lookup(_Fetched):
    """One key of a batch: every key that a run wants when it can move no further shares one call."""

    name: str
    batch: Callable[..., Any] = field(repr=False)
    parameters: tuple[Parameter, ...]
    """The key first; the others are the batch's."""
    place: str = field(compare=False)
    options: FetchOptions = field(default_factory=FetchOptions)
    """The batch's."""
    fallback_calls: bool = False
    call: Callable[..., Any] = field(default=lambda: None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Derived:
    """A pure function of other nodes: a plain ``def``, run inline."""

    name: str
    function: Callable[..., Any] = field(repr=False)
    parameters: tuple[Parameter, ...]
    place: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Each:
    """One call of ``body`` an element, and a list in the order of the elements."""

    name: str
    body: Fetch | Lookup | Derived
    parameters: tuple[Parameter, ...]
    """The sequence first; the others are the body's."""
    element: str
    """The body's parameter that gets the element."""
    place: str = field(compare=False)
    max_in_flight: int = 16
    """Elements fetched at once; a lookup needs no such limit."""
    timeout_s: float | None = None
    """Seconds for all elements together; the body's own timeout is for one."""
    call: Callable[..., Any] = field(default=lambda: None, repr=False, compare=False)
    late: Callable[..., Any] | None = field(default=None, repr=False, compare=False)
    """What a run that has no time left calls instead, if the body has a fallback."""

    @property
    def derived(self) -> bool:
        """True if nothing is fetched, so that it runs inline."""
        return isinstance(self.body, Derived)


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


Node = Fetch | Lookup | Derived | Each | Branch | FirstOf


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
    return tuple(Edge(each.node, wanted_by_default=each.default is not MISSING) for each in node.parameters)


@overload
def fetch(
    *,
    timeout: float | timedelta | None = None,
    fallback: object = MISSING,
    source: Source | None = None,
    retry: Retry | None = None,
    hedge: float | timedelta | str | None = None,
    idempotent: bool = False,
    cache: Cache | None = None,
    blocking: Literal[False] = False,
) -> Callable[[Async], Async]: ...
@overload
def fetch(
    *,
    timeout: float | timedelta | None = None,
    fallback: object = MISSING,
    source: Source | None = None,
    retry: Retry | None = None,
    hedge: float | timedelta | str | None = None,
    idempotent: bool = False,
    cache: Cache | None = None,
    blocking: Literal[True],
) -> Callable[[F], F]: ...
def fetch(
    *,
    timeout: float | timedelta | None = None,
    fallback: object = MISSING,
    source: Source | None = None,
    retry: Retry | None = None,
    hedge: float | timedelta | str | None = None,
    idempotent: bool = False,
    cache: Cache | None = None,
    blocking: bool = False,
) -> Callable[[Any], Any]:
    """Say how an ``async def`` is fetched; the function itself stays as it is, for tests and type checkers.

    Args:
        timeout: seconds (or a timedelta) that one run waits for it, all attempts together; None waits until
            the run's deadline.
        fallback: the value to use when there is none (it timed out, raised, or what it needs has no value),
            or a plain function that makes it from the error. It is shared by all runs: do not change it.
            Its type is held against what the function returns when the graph is built; a type checker cannot
            do it, because a function that returns ``float`` is also one that returns ``float | str``.
        source: what it asks, with the limits that all who ask it share (bulkhead, breaker, budgets).
        retry: which errors are worth another attempt, and how many.
        hedge: send a second copy after that many seconds, or after an observed percentile such as ``"p95"``.
        idempotent: asking twice does no harm; a hedge needs it.
        cache: keep values across runs, and use one that has expired rather than none.
        blocking: it is a plain ``def`` that blocks, and runs in a thread.

    Returns:
        A decorator.

    Raises:
        BadGraph: the timeout is not a positive number of seconds.
    """
    where = f"@fetch at {place_of_caller()}"
    timeout_s = _timeout_s(timeout, where)
    return _mark(FetchOptions(timeout_s, fallback, source, retry, hedge, idempotent, cache, blocking))


def batch(
    *,
    max: int = 100,
    timeout: float | timedelta | None = None,
    fallback: object = MISSING,
    source: Source | None = None,
    retry: Retry | None = None,
) -> Callable[[Batch], Batch]:
    """Say that an ``async def`` answers many keys in one call: ``f(keys, …) -> Mapping[key, value]``.

    Its first parameter is the sequence of keys, none twice; the others are edges. A key that the mapping
    does not hold has failed (``KeyMissing``), and so has one whose value is an exception; the others are not
    touched. ``name=lookup(f, key="node")`` makes a node of it.

    Args:
        max: keys of one call; more become several calls.
        timeout: seconds that one run waits for a key.
        fallback: as of :func:`fetch`, for one key.
        source: as of :func:`fetch`, for one call.
        retry: as of :func:`fetch`, for one call.

    Raises:
        BadGraph: ``max`` is below 1, or the timeout no positive number of seconds.
    """
    where = f"@batch at {place_of_caller()}"
    if isinstance(max, bool) or not isinstance(max, int) or max < 1:
        raise BadGraph((f"{where}: max is {max!r}; legal: a whole number from 1",))
    return _mark(FetchOptions(_timeout_s(timeout, where), fallback, source, retry, max_keys=max))


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


@dataclass(frozen=True, slots=True)
class Lookups:
    """What :func:`lookup` says; a graph makes a :class:`Lookup` of it."""

    batch: Callable[..., Any]
    key: str
    place: str


@dataclass(frozen=True, slots=True)
class Elements:
    """What :func:`each` says; a graph makes an :class:`Each` of it."""

    body: Callable[..., Any] | Lookups | Wired
    over: str
    element: str | None
    max_in_flight: int
    timeout_s: float | None
    place: str


@dataclass(frozen=True, slots=True)
class Wired:
    """What :func:`wire` says."""

    function: Callable[..., Any]
    names: Mapping[str, str]
    place: str


Declared = Branch | FirstOf | Lookups | Elements | Wired
"""What stands behind a keyword of ``Graph`` where it is no function."""


def lookup(batch: BatchFunction, *, key: str) -> Lookups:
    """Look one key up in a ``@batch`` function; ``key`` is the node that gives it."""
    return Lookups(batch, key, place_of_caller())


def each(
    body: Callable[..., Any] | Lookups | Wired,
    *,
    over: str,
    element: str | None = None,
    max_in_flight: int = 16,
    timeout: float | timedelta | None = None,
) -> Elements:
    """Call ``body`` for each element of the sequence ``over``; a list in its order.

    An element without a value takes the body's fallback, and the list is a ``fallback`` then; where there is
    none, the whole list has failed.

    Args:
        body: ``async def``, ``def`` or ``lookup(...)``.
        over: the node that gives the sequence.
        element: the body's parameter that gets the element; by default its first (a lookup: its key).
        max_in_flight: fetches under way at once.
        timeout: seconds for all elements together; the body's own is for one.

    Raises:
        BadGraph: ``max_in_flight`` is below 1, or the timeout no positive number of seconds.
    """
    where = f"each at {place_of_caller()}"
    if isinstance(max_in_flight, bool) or not isinstance(max_in_flight, int) or max_in_flight < 1:
        raise BadGraph((f"{where}: max_in_flight is {max_in_flight!r}; legal: a whole number from 1",))
    return Elements(body, over, element, max_in_flight, _timeout_s(timeout, where), place_of_caller())


def wire(function: Callable[..., Any], **names: str) -> Wired:
    """Use a function with nodes of other names: ``wire(distance, a="home", b="shop")``."""
    return Wired(function, dict(names), place_of_caller())


def named(node: Branch | FirstOf, name: str) -> Branch | FirstOf:
    """The node under the keyword's name."""
    return replace(node, name=name)


def _mark(options: FetchOptions) -> Callable[[F], F]:
    def mark(function: F) -> F:
        setattr(function, OPTIONS, options)
        return function

    return mark


def _timeout_s(timeout: float | timedelta | None, where: str) -> float | None:
    try:
        timeout_s = seconds_of(timeout, "timeout")
    except BadRun as error:
        raise BadGraph((f"{where}: {error}",)) from None
    if timeout_s is not None and timeout_s <= 0:
        raise BadGraph((f"{where}: timeout is {timeout_s!r}; legal: above 0 s",))
    return timeout_s


def place_of_caller(depth: Literal[2] = 2) -> str:
    """File and line of whoever called the function that asks."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
