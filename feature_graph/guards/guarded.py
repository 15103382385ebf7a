"""From a function and its options to what a run calls: cache(retry or hedge(breaker and bulkhead(call)))."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, cast
from weakref import WeakKeyDictionary

from feature_graph.deadline import seconds_of
from feature_graph.errors import BadRun, TransientError
from feature_graph.guards.attempt import Attempt, Call, Timed
from feature_graph.guards.cache import Cache
from feature_graph.guards.caching import Caching
from feature_graph.guards.hedge import LEGAL, Hedging, percentile_of
from feature_graph.guards.retry import Retry, Retrying
from feature_graph.guards.source import Source
from feature_graph.guards.thread import Threaded
from feature_graph.node import FetchOptions, Parameter

_private: WeakKeyDictionary[Callable[..., Any], Source] = WeakKeyDictionary()
"""Sources of functions that were given none, so that two graphs with one function share its budgets."""


def guarded(function: Callable[..., Any], options: FetchOptions, name: str) -> Callable[..., Any]:
    """Put a function inside the guards that its options ask for.

    Args:
        function: ``async def``, or a plain ``def`` if it is ``blocking``.
        options: of the fetch or the batch, without problems (:func:`check`).
        name: the node's.

    Returns:
        An async callable; the very same function when no guard is asked for.
    """
    call: Call = function
    if options.source is not None or options.retry is not None or options.hedge is not None:
        call = _with_source(function, options, name)
    elif options.blocking:
        call = Threaded(function)
    if options.cache is not None:
        call = Caching(name, function, call, options.cache)
    return call


def _with_source(function: Callable[..., Any], options: FetchOptions, name: str) -> Call:
    source = options.source or _own_source(function, name)
    retry = options.retry
    call: Call = Threaded(function, source.leave) if options.blocking else function
    if retry is not None and retry.attempt_timeout_s is not None:
        call = Timed(name, call, retry.attempt_timeout_s)
    transient = (TransientError,) if retry is None else retry.errors
    attempt = Attempt(source, call, transient, keeps_place=options.blocking)
    if retry is not None:
        return Retrying(attempt, source, retry)
    return attempt if options.hedge is None else Hedging(name, attempt, source, options.hedge)


def _own_source(function: Callable[..., Any], name: str) -> Source:
    try:
        return _private.setdefault(function, Source(name))
    except TypeError:  # not hashable, or not weakly referable
        return Source(name)


def check(options: FetchOptions, name: str, place: str, parameters: Sequence[Parameter]) -> list[str]:
    """What is wrong with the guards of a fetch, one sentence each; none is raised.

    Args:
        options: as they were given, of any type.
        name: the node's.
        place: of the function, in the source.
        parameters: of the function.
    """
    who = f"{name!r} at {place}"
    return [
        *_wrong_types(options, who),
        *_bad_hedge(options, who),
        *_bad_retry(options, who),
        *_bad_cache(options, who, [parameter.name for parameter in parameters]),
    ]


def _wrong_types(options: FetchOptions, who: str) -> list[str]:
    kinds = {"source": Source, "retry": Retry, "cache": Cache}
    return [
        f"{who} has {option}={value!r}; legal: a {kind.__name__}"
        for option, kind in kinds.items()
        if (value := getattr(options, option)) is not None and not isinstance(value, kind)
    ]


def _bad_hedge(options: FetchOptions, who: str) -> list[str]:
    hedge = cast(object, options.hedge)
    if hedge is None:
        return []
    problems = []
    if percentile_of(hedge) is None:
        delay_s = _delay_s(hedge)
        if delay_s is None:
            problems.append(f"{who} has hedge={hedge!r}; legal: {LEGAL}")
        elif options.timeout_s is not None and delay_s >= options.timeout_s:
            problems.append(
                f"{who} hedges after {delay_s:g} s, but its timeout of {options.timeout_s:g} s comes first"
            )
    if not options.idempotent:
        problems.append(
            f"{who} has hedge={hedge!r} and may be called twice; say idempotent=True if that does no harm"
        )
    if options.retry is not None:
        problems.append(
            f"{who} has both retry and hedge; legal: one of them, for each is the other's extra load"
        )
    if options.blocking:
        problems.append(
            f"{who} has hedge={hedge!r} and is blocking; a thread cannot be cancelled, so both would run on"
        )
    return problems


def _delay_s(hedge: object) -> float | None:
    if isinstance(hedge, str):
        return None
    try:
        delay_s = seconds_of(cast("float | timedelta", hedge), "hedge")
    except BadRun:
        return None
    return delay_s if delay_s is not None and delay_s > 0.0 else None


def _bad_retry(options: FetchOptions, who: str) -> list[str]:
    retry, timeout_s = options.retry, options.timeout_s
    if not isinstance(retry, Retry) or retry.attempt_timeout_s is None or timeout_s is None:
        return []
    if retry.attempt_timeout_s < timeout_s:
        return []
    return [
        f"{who} gives an attempt {retry.attempt_timeout_s:g} s, and all of them together {timeout_s:g} s; "
        "legal: less for an attempt"
    ]


def _bad_cache(options: FetchOptions, who: str, names: list[str]) -> list[str]:
    if not isinstance(options.cache, Cache):
        return []
    problems = []
    for part in options.cache.key:
        if part not in names:
            near = get_close_matches(part, names, 1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"legal: {', '.join(names) or 'none, it has none'}"
            )
            problems.append(f"{who} caches by {part!r}, which is no parameter of it; {hint}")
    return problems
