"""From an ordinary function to a node: its signature is its edges, its colour is its kind."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, get_origin

from feature_graph.guards import check, guarded
from feature_graph.node import MISSING, OPTIONS, Derived, Fetch, FetchOptions, Parameter
from feature_graph.outcome import Outcome

_OUTCOME_IN_TEXT = re.compile(r"^([\w.]+\.)?Outcome(\[.*\])?$", re.DOTALL)
_VARIADIC = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


class Unreadable(Exception):
    """A function that cannot be a node; the message is one problem of the graph."""


def read(function: Callable[..., Any], name: str | None) -> Fetch | Derived:
    """Make a node of a function, a method, a partial, a lambda or a callable object.

    Args:
        function: ``async def`` becomes a fetch, ``def`` a derived node.
        name: the node's name; None takes the function's own.

    Raises:
        Unreadable: it is not callable, yields, takes ``*args``, has no name, or its options contradict it.
    """
    place = place_of(function)
    if not callable(function):
        raise Unreadable(
            f"{function!r} is no node; legal: a function, branch(...), first_of(...), "
            "lookup(...), each(...) or wire(...)"
        )
    own_name = getattr(function, "__name__", "")
    if name is None and not own_name.isidentifier():
        raise Unreadable(f"{_called(function)} at {place} has no name; hand it over as name=function")
    name = name or own_name
    _refuse_generators(function, name, place)
    parameters = parameters_of(function, name, place)
    options = options_of(function)
    if options is None:
        return (
            Fetch(name, function, parameters, place, call=function)
            if is_async(function)
            else Derived(name, function, parameters, place)
        )
    return _fetch_node(name, function, parameters, place, options)


def place_of(function: object) -> str:
    """File and line of a function, or of the class of a callable object."""
    inner = _innermost(function)
    code = getattr(inner, "__code__", None) or getattr(_call_of(inner), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else _called(inner)


def _fetch_node(
    name: str,
    function: Callable[..., Any],
    parameters: tuple[Parameter, ...],
    place: str,
    options: FetchOptions,
) -> Fetch:
    if options.max_keys is not None:
        raise Unreadable(f"{name!r} at {place} is a @batch; hand it over as name=lookup({name}, key=...)")
    if is_async(function) is options.blocking:
        raise Unreadable(
            f"{name!r} at {place} is marked @fetch(blocking=True) and is an async def; legal: a plain def"
            if options.blocking
            else f"{name!r} at {place} is marked @fetch but is a plain def; a fetch is an async def, "
            "or a plain def with blocking=True, which runs in a thread"
        )
    problems = check(options, name, place, parameters)
    if problems:
        raise Unreadable("; ".join(problems))
    calls = fallback_calls(options, name, place)
    return Fetch(name, function, parameters, place, options, calls, guarded(function, options, name))


def fallback_calls(options: FetchOptions, name: str, place: str) -> bool:
    """True if the fallback is a function of the error, False if it is the value itself.

    Raises:
        Unreadable: it is neither: a class, or async.
    """
    fallback = options.fallback
    if inspect.isclass(fallback):
        what = f"the class {fallback.__name__}"
        raise Unreadable(f"the fallback of {name!r} at {place} is {what}; legal: a value or a function")
    if is_async(fallback):
        raise Unreadable(f"the fallback of {name!r} at {place} is async; a fallback may not fetch")
    return inspect.isroutine(fallback) or isinstance(fallback, functools.partial)


def parameters_of(function: Callable[..., Any], name: str, place: str) -> tuple[Parameter, ...]:
    """The edges that a signature names.

    Raises:
        Unreadable: it has none to read, or takes ``*args``.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"{name!r} at {place} does not tell its parameters ({error})") from error
    bound = function.keywords if isinstance(function, functools.partial) else {}
    found = []
    for each in signature.parameters.values():
        if each.kind in _VARIADIC:
            stars = _VARIADIC[each.kind]
            raise Unreadable(f"{name!r} at {place} takes {stars}{each.name}; name every dependency instead")
        if each.name not in bound:
            found.append(_parameter(each))
    return tuple(found)


def _parameter(parameter: inspect.Parameter) -> Parameter:
    default = MISSING if parameter.default is inspect.Parameter.empty else parameter.default
    keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    wants_outcome = _wants_outcome(parameter.annotation)
    return Parameter(parameter.name, parameter.name, default, keyword_only, wants_outcome)


def _wants_outcome(annotation: object) -> bool:
    """Read without evaluating: annotations may name what is imported for type checkers only."""
    if isinstance(annotation, str):
        return _OUTCOME_IN_TEXT.match(annotation.strip()) is not None
    return annotation is Outcome or get_origin(annotation) is Outcome


def _refuse_generators(function: object, name: str, place: str) -> None:
    inner = _innermost(function)
    for target in (inner, _call_of(inner)):
        if inspect.isasyncgenfunction(target):
            raise Unreadable(f"{name!r} at {place} is an async generator; a fetch returns one value")
        if inspect.isgeneratorfunction(target):
            raise Unreadable(f"{name!r} at {place} is a generator, which only its first reader could read")


def is_async(function: object) -> bool:
    """True for what gives a coroutine when it is called."""
    inner = _innermost(function)
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(_call_of(inner))


def _call_of(instance: object) -> object:
    """The method that a callable object runs; it may be async where the object does not look it."""
    return getattr(type(instance), "__call__", None)  # noqa: B004 - not to test, to look at it


def _innermost(function: object) -> object:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def options_of(function: object) -> FetchOptions | None:
    """What ``@fetch`` or ``@batch`` left on the function."""
    options = getattr(function, OPTIONS, None) or getattr(_innermost(function), OPTIONS, None)
    return options if isinstance(options, FetchOptions) else None


def _called(function: object) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
