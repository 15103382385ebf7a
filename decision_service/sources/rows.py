"""What every source of rows has in common: ``get`` one key, or ``many``; and what a key is.

A fetch that is written against :class:`Rows` takes the store in production, a Parquet file on a laptop and
:class:`~decision_service.sources.constant.Fixed` in a test.

A key is text or a whole number, or a tuple of them where a table has several key columns:

>>> key_text("c-1"), key_text(17), key_text(("de", 17))
('c-1', '17', '2:de2:17')
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar, cast

import msgspec

from decision_service.sources.errors import BadAnswer, BadKey

T = TypeVar("T")

KeyPart = str | int
Key = KeyPart | tuple[KeyPart, ...]

_TEXT = {str}
MAX_KEY_BYTES = 1024
"""Keys come from clients: one of a megabyte must not travel further."""


class Rows(Protocol[T]):
    """A table that is asked by key."""

    async def get(self, key: Key) -> T:
        """The row under ``key``.

        Raises:
            RowMissing: there is none.
        """

    async def many(self, keys: Iterable[Key]) -> dict[Key, T]:
        """The rows that there are; a key without one is left out, as a ``@batch`` expects it."""


def key_text(key: Key) -> str:
    """A key's one form in the store and in indexes; a number and its decimal text are the same key.

    Several parts are each led by their length in characters, so that no two keys run into one.

    Raises:
        BadKey: it is no key.
    """
    if type(key) is str and len(key) <= MAX_KEY_BYTES and key.isascii():
        return key  # nearly every key, twenty times a request
    if not isinstance(key, tuple):
        return _part_text(key)
    texts = [_part_text(part) for part in key]
    return texts[0] if len(texts) == 1 else "".join(f"{len(text)}:{text}" for text in texts)


def texts_of(keys: tuple[Key, ...]) -> tuple[str, ...]:
    """The same for many; the very tuple where all of them are plain texts.

    Raises:
        BadKey: one is no key.
    """
    if {*map(type, keys)} <= _TEXT:
        texts = cast("tuple[str, ...]", keys)
        all_of_it = "".join(texts)
        if all_of_it.isascii() and (len(all_of_it) <= MAX_KEY_BYTES or max(map(len, texts)) <= MAX_KEY_BYTES):
            return texts
    return tuple([key_text(key) for key in keys])


def check_parts(key: Key, parts: int) -> None:
    """Refuse a key of another number of parts than the table has key columns.

    Raises:
        BadKey: it has another number.
    """
    if parts != (len(key) if isinstance(key, tuple) else 1):
        raise BadKey(f"a key of this table has {parts} part{'s' * (parts > 1)}, in the order of its columns")


def _part_text(part: object) -> str:
    if isinstance(part, bool) or not isinstance(part, str | int):
        raise BadKey(f"a key of type {type(part).__name__}; legal: text, a whole number, or a tuple of them")
    if isinstance(part, int) and abs(part) >= 1 << 64:
        raise BadKey("a key beyond 64 bits; legal: text, a whole number, or a tuple of them")
    text = str(part)
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise BadKey("a key that has no form in UTF-8 (a lone surrogate)") from None
    if size_bytes > MAX_KEY_BYTES:
        raise BadKey(f"a key of {size_bytes} bytes; legal: at most {MAX_KEY_BYTES}")
    return text


def typed(row: object, kind: type[T], whose: str) -> T:
    """``row`` as ``kind``; names and types are checked, columns that ``kind`` does not know are left out.

    Raises:
        BadAnswer: it is something else; says which field.
    """
    if kind is dict and isinstance(row, dict):
        return row  # type: ignore[return-value]  # a dict is what was asked for
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        raise BadAnswer(f"a row of {whose} is no {getattr(kind, '__name__', kind)}: {error}") from error
