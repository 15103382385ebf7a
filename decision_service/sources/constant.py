"""Rows that are simply there, and rows that a function makes: for tests, small tables and code that blocks.

>>> import asyncio
>>> customers = Fixed({"ann": {"segment": "student"}}, default={"segment": "guest"})
>>> asyncio.run(customers.get("ann")), asyncio.run(customers.get("bob"))
({'segment': 'student'}, {'segment': 'guest'})
>>> asyncio.run(Called(len).many(["a", "bb"]))
{'a': 1, 'bb': 2}
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum
from typing import Final, Generic, TypeVar, cast

from decision_service.sources.errors import BadSource, RowMissing
from decision_service.sources.rows import Key, key_text

T = TypeVar("T")


class _None(Enum):
    NO_DEFAULT = "no default"


NO_DEFAULT: Final = _None.NO_DEFAULT
"""None is a legal default."""


class Fixed(Generic[T]):
    """A mapping as a table.

    Args:
        rows: key to row; copied.
        default: the row of every other key; without it an unknown key is a ``RowMissing``.
    """

    def __init__(self, rows: Mapping[Key, T] | Mapping[str, T], default: T | _None = NO_DEFAULT) -> None:
        self._rows: dict[str, T] = {key_text(key): row for key, row in rows.items()}
        self._default = default

    async def get(self, key: Key) -> T:
        """The row under ``key``, or the default.

        Raises:
            RowMissing: there is neither.
            BadKey: it is no key.
        """
        row = self._rows.get(key_text(key), self._default)
        if isinstance(row, _None):
            raise RowMissing(f"none of the {len(self._rows)} fixed rows has that key")
        return row

    async def many(self, keys: Iterable[Key]) -> dict[Key, T]:
        """The rows that there are."""
        found = {key: self._rows.get(key_text(key), self._default) for key in keys}
        return {key: row for key, row in found.items() if not isinstance(row, _None)}


class Called(Generic[T]):
    """A function of the key as a table; a ``LookupError`` of it means that there is no row.

    Args:
        function: plain or ``async``.
        blocking: it waits for something, so it runs in a thread and the loop goes on; 20 µs more a call.
    """

    def __init__(
        self, function: Callable[[Key], T] | Callable[[Key], Awaitable[T]], *, blocking: bool = False
    ) -> None:
        self._is_async = inspect.iscoroutinefunction(function)
        if self._is_async and blocking:
            raise BadSource(f"{function!r} is async: it cannot run in a thread")
        self._function = function
        self._blocking = blocking

    async def get(self, key: Key) -> T:
        """What the function says of ``key``.

        Raises:
            RowMissing: it raised a ``LookupError``.
            BadKey: ``key`` is no key.
        """
        key_text(key)
        try:
            if self._blocking:
                return cast(T, await asyncio.to_thread(self._function, key))
            answer = self._function(key)
            return await cast(Awaitable[T], answer) if self._is_async else cast(T, answer)
        except LookupError as error:
            raise RowMissing(f"{getattr(self._function, '__name__', 'the function')} has no row") from error

    async def many(self, keys: Iterable[Key]) -> dict[Key, T]:
        """The rows that there are, asked side by side."""
        wanted = list(dict.fromkeys(keys))
        found = await asyncio.gather(*map(self._get_or_none, wanted))
        return {key: row for key, (there, row) in zip(wanted, found, strict=True) if there}

    async def _get_or_none(self, key: Key) -> tuple[bool, T]:
        try:
            return True, await self.get(key)
        except RowMissing:
            return False, cast(T, None)
