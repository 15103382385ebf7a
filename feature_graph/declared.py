"""From what stands in ``Graph(...)`` to a node: functions, and the words for more than a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from feature_graph.batching import lookup_call
from feature_graph.each import each_call, each_late
from feature_graph.guards import check
from feature_graph.node import (
    Branch,
    Declared,
    Derived,
    Each,
    Elements,
    Fetch,
    FirstOf,
    Lookup,
    Lookups,
    Node,
    Parameter,
    Wired,
    named,
)
from feature_graph.reading import (
    Unreadable,
    fallback_calls,
    is_async,
    options_of,
    parameters_of,
    place_of,
    read,
)

_WORDS = {Branch: "branch", FirstOf: "first_of", Lookups: "lookup", Elements: "each", Wired: "wire"}


def node_of(entry: Callable[..., Any] | Declared, name: str | None) -> Node:
    """The node that ``entry`` declares.

    Args:
        entry: a function, or what ``branch``, ``first_of``, ``lookup``, ``each`` or ``wire`` gave.
        name: the keyword it stands behind; None if there is none.

    Raises:
        Unreadable: it cannot be a node.
    """
    if not isinstance(entry, Branch | FirstOf | Lookups | Elements | Wired):
        return read(entry, name)
    if name is None:
        word = _WORDS[type(entry)]
        raise Unreadable(f"{word} at {entry.place} has no name; hand it over as name={word}(...)")
    if isinstance(entry, Branch | FirstOf):
        return named(entry, name)
    if isinstance(entry, Lookups):
        return _lookup(entry, name)
    return _each(entry, name) if isinstance(entry, Elements) else _wired(entry, name)


def _wired(entry: Wired, name: str) -> Fetch | Derived:
    node = read(entry.function, name)
    known = [parameter.name for parameter in node.parameters]
    if unknown := [each for each in entry.names if each not in known]:
        raise Unreadable(
            f"wire at {entry.place} names {unknown[0]!r}, which is no parameter of {node.place}; "
            f"legal: {', '.join(known) or 'none, it has no parameters'}"
        )
    wired = tuple(replace(each, node=entry.names.get(each.name, each.node)) for each in node.parameters)
    return replace(node, parameters=wired)


def _lookup(entry: Lookups, name: str) -> Lookup:
    place = place_of(entry.batch)
    options = options_of(entry.batch)
    if options is None or options.max_keys is None or not is_async(entry.batch):
        raise Unreadable(f"lookup at {entry.place} needs an async def marked @batch; {place} is none")
    keys, *others = _with_keys(parameters_of(entry.batch, name, place), entry, place)
    if problems := check(options, name, place, tuple(others)):
        raise Unreadable("; ".join(problems))
    parameters = (Parameter(keys.name, entry.key, keyword_only=keys.keyword_only), *others)
    calls = fallback_calls(options, name, place)
    node = Lookup(name, entry.batch, parameters, entry.place, options, calls)
    return replace(node, call=lookup_call(node))


def _with_keys(parameters: tuple[Parameter, ...], entry: Lookups, place: str) -> tuple[Parameter, ...]:
    if not parameters:
        raise Unreadable(f"the @batch at {place} takes no keys; its first parameter is the sequence of them")
    if parameters[0].keyword_only or parameters[0].wants_outcome:
        raise Unreadable(
            f"the first parameter of the @batch at {place} is the keys, and is handed in by position"
        )
    return parameters


def _each(entry: Elements, name: str) -> Each:
    body = node_of(entry.body, name)
    if isinstance(body, Branch | FirstOf | Each):
        raise Unreadable(
            f"each at {entry.place} goes over a function or a lookup; name other nodes by themselves"
        )
    element = _element(entry, body)
    others = tuple(each for each in body.parameters if each is not element)
    over = Parameter(entry.over, entry.over)
    node = Each(name, body, (over, *others), element.name, entry.place, entry.max_in_flight, entry.timeout_s)
    return replace(node, call=each_call(node), late=each_late(node))


def _element(entry: Elements, body: Fetch | Lookup | Derived) -> Parameter:
    """The parameter of the body that gets the element."""
    if isinstance(body, Lookup):
        known = {body.parameters[0].node: body.parameters[0]}
    else:
        known = {each.name: each for each in body.parameters}
    element = next(iter(known), "") if entry.element is None else entry.element
    if element not in known:
        raise Unreadable(
            f"each at {entry.place} hands its element to {element!r}, which is no parameter of {body.place}; "
            f"legal: {', '.join(known) or 'none, it has no parameters'}"
        )
    return known[element]
