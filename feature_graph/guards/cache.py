"""Values kept across runs: one fetch at a time for a key, fresh for a while, and stale rather than none.

Opt-in, for a value of an hour ago is not an observation of now: a stale one is reported as a fallback.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from feature_graph.deadline import seconds_of
from feature_graph.errors import BadGraph, BadRun
from feature_graph.guards.attempt import Call
from feature_graph.guards.clock import Clock, loop_time
from feature_graph.guards.flight import Flight
from feature_graph.guards.state import CacheState
from feature_graph.scope import StandIn

Key = tuple[object, ...]


class Entry(NamedTuple):
    """A value, and when it was fetched."""

    value: object
    fetched_s: float


class Cache:
    """Values of one or more fetches, by function and key.

    Consumers of the same key share one fetch; a failure is not kept; a value that is kept is shared by all,
    so nobody may change it. In each event loop a key is fetched once at a time; the values are common to all
    loops. As with a source, a copy of a cache is the cache, and what is pickled is its settings.

    Args:
        ttl: seconds (or a timedelta) for which a value is fresh; 0 keeps nothing and only shares fetches.
        key: names of the parameters on which the value depends. Clients and the like are none of them.
        stale: seconds after ``ttl`` in which the value still stands in for a fetch that failed or timed out.
        max_entries: beyond which the least recently used goes.
        clock: seconds; by default the running loop's, so that tests may have a virtual one.

    Raises:
        BadGraph: a setting is out of its range.
    """

    def __init__(
        self,
        ttl: float | timedelta,
        *,
        key: tuple[str, ...] | str,
        stale: float | timedelta = 0.0,
        max_entries: int = 10_000,
        clock: Clock = loop_time,
    ) -> None:
        self.key = (key,) if isinstance(key, str) else tuple(key)
        _check(ttl, stale, self.key, max_entries)
        self._ttl_s, self._stale_s = seconds_of(ttl, "ttl") or 0.0, seconds_of(stale, "stale") or 0.0
        self._max_entries = max_entries
        self.clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._flights: dict[tuple[asyncio.AbstractEventLoop, Key], Flight] = {}
        self._hits = self._misses = self._shared = self._stale = 0

    def __deepcopy__(self, memo: object) -> Cache:
        return self

    def __copy__(self) -> Cache:
        return self

    def __reduce__(self) -> tuple[Callable[..., Cache], tuple[Any, ...]]:
        return _unpickled, (self._ttl_s, self.key, self._stale_s, self._max_entries, self.clock)

    def clear(self) -> None:
        """Forget all values; fetches under way go on."""
        with self._lock:
            self._entries.clear()

    def state(self) -> CacheState:
        """What it looks like now; may be called from any thread."""
        with self._lock:
            return CacheState(len(self._entries), self._hits, self._misses, self._shared, self._stale)

    def find(self, key: Key) -> tuple[Entry | None, float]:
        """The value for a key, if there is one to use, and for how long it has expired (below 0: fresh)."""
        now_s = self.clock()
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None, 0.0
            expired_s = now_s - entry.fetched_s - self._ttl_s
            if expired_s >= self._stale_s and expired_s >= 0.0:
                del self._entries[key]
                return None, 0.0
            if expired_s < 0.0:
                self._entries.move_to_end(key)
                self._hits += 1
            return entry, expired_s

    def flight(
        self, name: str, key: Key, call: Call, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Flight:
        """The fetch of a key that is under way in this loop, or a new one."""
        place = (asyncio.get_running_loop(), key)
        flight = self._flights.get(place)
        if flight is not None:
            with self._lock:
                self._shared += 1
            return flight
        with self._lock:
            self._misses += 1
        flight = self._flights[place] = Flight(name, partial(self._landed, place))
        flight.start(call, args, kwargs)
        return flight

    def used_stale(self) -> None:
        """Count a value that was used although it had expired."""
        with self._lock:
            self._stale += 1

    def _landed(self, place: tuple[asyncio.AbstractEventLoop, Key], flight: Flight) -> None:
        self._flights.pop(place, None)
        if (
            flight.error is None
            and not isinstance(flight.value, StandIn)
            and self._ttl_s + self._stale_s > 0.0
        ):
            with self._lock:
                self._entries[place[1]] = Entry(flight.value, self.clock())
                self._entries.move_to_end(place[1])
                if len(self._entries) > self._max_entries:
                    self._entries.popitem(last=False)


def _unpickled(ttl: float, key: tuple[str, ...], stale: float, max_entries: int, clock: Clock) -> Cache:
    return Cache(ttl, key=key, stale=stale, max_entries=max_entries, clock=clock)


def _check(ttl: object, stale: object, key: tuple[object, ...], max_entries: object) -> None:
    problems = []
    for what, duration in (("ttl", ttl), ("stale", stale)):
        try:
            seconds = seconds_of(duration, what)  # type: ignore[arg-type]
        except BadRun as error:
            problems.append(f"Cache: {error}")
        else:
            if seconds is None or seconds < 0.0:
                problems.append(f"Cache: {what} is {duration!r}; legal: seconds from 0")
    if not key or not all(isinstance(name, str) for name in key):
        problems.append(f"Cache: key is {key!r}; legal: names of the parameters on which the value depends")
    if isinstance(max_entries, bool) or not isinstance(max_entries, int) or max_entries < 1:
        problems.append(f"Cache: max_entries is {max_entries!r}; legal: a whole number from 1")
    if problems:
        raise BadGraph(tuple(problems))
