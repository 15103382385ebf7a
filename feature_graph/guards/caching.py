"""One fetch behind a cache: fresh from it, or fetched, or stale rather than none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import Parameter, signature

from feature_graph.guards.attempt import Call
from feature_graph.guards.cache import Cache, Entry, Key
from feature_graph.guards.ending import without_our_frames
from feature_graph.scope import StandIn, note, notes_here, stand_by


class Caching:
    """Asks the cache first."""

    __slots__ = ("_cache", "_call", "_function", "_name", "_places")

    def __init__(self, name: str, function: Callable[..., object], call: Call, cache: Cache) -> None:
        self._name = name
        self._function = function
        self._call = call
        self._cache = cache
        self._places = _places(function, cache.key)
        try:
            hash(function)
        except TypeError:
            self._function = self

    async def __call__(self, *args: object, **kwargs: object) -> object:
        """The value that is kept, or a fetched one, or an expired one as a stand-in.

        Raises:
            TypeError: a part of the key cannot be one.
        """
        key = self._key(args, kwargs)
        entry, expired_s = self._find(key)
        if entry is not None and expired_s < 0.0:
            note(cache="hit", age_s=self._cache.clock() - entry.fetched_s)
            return entry.value
        if entry is not None:
            return await self._fetch_or_stale(entry, key, args, kwargs)
        note(cache="miss")
        try:
            return await self._cache.flight(self._name, key, self._call, args, kwargs).wait()
        except BaseException as error:
            without_our_frames(error)
            raise

    async def _fetch_or_stale(
        self, entry: Entry, key: Key, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        note(cache="expired")
        stale = partial(self._stand_in, entry, notes_here())
        stand_by(stale)
        try:
            return await self._cache.flight(self._name, key, self._call, args, kwargs).wait()
        except Exception as error:
            without_our_frames(error)
            return stale(error)

    def _stand_in(
        self, entry: Entry, notes: dict[str, object] | None, error: BaseException | None
    ) -> StandIn:
        """Also called by the run, when it does not wait any longer: in whose context no notes are kept."""
        self._cache.used_stale()
        if notes is not None:
            notes.update(cache="stale", stale_s=self._cache.clock() - entry.fetched_s)
        return StandIn(entry.value, error)

    def _find(self, key: Key) -> tuple[Entry | None, float]:
        try:
            return self._cache.find(key)
        except TypeError as error:
            parts = ", ".join(
                f"{name}={part!r}" for name, part in zip(self._cache.key, key[1::2], strict=True)
            )
            raise TypeError(f"the cache of {self._name!r} cannot keep anything by {parts}: {error}") from None

    def _key(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Key:
        """The function, and each part with its type: 1, 1.0 and True are the same key to a dict."""
        parts: list[object] = [self._function]
        for place, name, default in self._places:
            part = args[place] if place < len(args) else kwargs.get(name, default)
            parts += (part, type(part))
        return tuple(parts)


def _places(function: Callable[..., object], names: tuple[str, ...]) -> tuple[tuple[int, str, object], ...]:
    """Where a call finds the parts of the key: its position, its name, its default."""
    parameters = signature(function).parameters
    positional = [name for name, each in parameters.items() if each.kind is not Parameter.KEYWORD_ONLY]
    nowhere = len(parameters)
    return tuple(
        (positional.index(name) if name in positional else nowhere, name, parameters[name].default)
        for name in names
    )
