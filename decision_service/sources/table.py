"""A Parquet or Arrow file held in memory as a source of features, read anew when it changes.

In an application's ``features.py``::

    class Product(msgspec.Struct):
        price: float
        brand: str

    async def product(arm: str, products: FileTable[Product]) -> Product:
        return await products.get(arm)

    @asynccontextmanager
    async def clients():
        async with open_table(Path("products.parquet"), key="sku", kind=Product) as products:
            yield {"products": products}

For what fits into memory and changes a few times a day. A look-up costs 10 µs and no network; rows stay in
columns, sorted by key, and are found by bisection: an index of a million keys would be another 200 MB.
While the file is read anew, in a thread, the old and the new rows are there at once. Whoever writes the
file writes another one and renames it over this one; a file that cannot be read leaves the rows as they
were, and says so. While serving, a child process reads a new file first: a damaged one may end its reader.
"""

from __future__ import annotations

import asyncio
import logging
import os
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from decision_service.sources.errors import BadSource, BadTable, RowMissing
from decision_service.sources.frames import KEY, read_bytes, table_of
from decision_service.sources.rows import Key, check_parts, key_text, typed
from decision_service.sources.trial import survive
from sidecar.contracts.ending import end

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

log = logging.getLogger("sidearm.decision_service")

MAX_BYTES = 1 << 30
CHECK_EVERY_S = 5.0

_Version = tuple[int, int, int]
"""What tells one state of a file from the next: inode, size, time of change in nanoseconds."""


class _Held(NamedTuple):
    """One state of the file, in memory."""

    version: _Version
    frame: pl.DataFrame
    keys: pl.Series


class FileTable(Generic[T]):
    """One file of rows; made by :func:`open_table`.

    Args:
        path: the file.
        key: its key columns.
        kind: what a row is made into; ``dict`` takes it as it is.
        max_bytes: most memory that the rows may take.
    """

    def __init__(self, path: Path, key: Sequence[str], kind: type[T], max_bytes: int) -> None:
        self._path = path
        self._key = tuple(key)
        self._kind = kind
        self._max_bytes = max_bytes
        self._held = self._read()
        self._refused: _Version | None = None

    @property
    def rows(self) -> int:
        """How many there are."""
        return self._held.frame.height

    @property
    def size_bytes(self) -> int:
        """Memory that they take, as Polars estimates it."""
        return int(self._held.frame.estimated_size())

    async def get(self, key: Key) -> T:
        """The row under ``key``.

        Raises:
            RowMissing: there is none.
            BadKey: ``key`` is no key of this table.
            BadAnswer: the row is not of the type.
        """
        held = self._held
        place = self._place(held, key)
        if place is None:
            raise RowMissing(f"{self._path.name} has no row for that key")
        return self._row(held, place)

    async def many(self, keys: Iterable[Key]) -> dict[Key, T]:
        """The rows that there are, all of one state of the file."""
        held = self._held
        places = {key: self._place(held, key) for key in keys}
        return {key: self._row(held, place) for key, place in places.items() if place is not None}

    async def refresh(self) -> bool:
        """Read the file again if it has changed; True if its new rows are now served.

        What cannot be read is told once in the log, and the rows stay as they are.
        """
        try:
            version = await asyncio.to_thread(_version, self._path)
            if version in (self._held.version, self._refused):
                return False
        except OSError as error:
            version = (0, 0, 0)
            if self._refused != version:
                log.warning("%s: %s; its %s rows stay", self._path, error.strerror, self.rows)
            self._refused = version
            return False
        try:
            self._held = await asyncio.to_thread(self._read, first_by_another=True)
        except BadSource as error:
            self._refused = version
            log.warning("%s; the %s rows read before stay", error, self.rows)
            return False
        self._refused = None
        log.info("%s: %s rows, %s bytes", self._path, self.rows, self.size_bytes)
        return True

    def _read(self, *, first_by_another: bool = False) -> _Held:
        """All of it, or an error; the version is taken first, so that a later change is never missed."""
        try:
            version = _version(self._path)
        except OSError as error:
            raise BadTable(f"{self._path}: {error.strerror}") from error
        data = read_bytes(self._path)
        if first_by_another:
            survive(data, self._path)
        frame = table_of(data, self._path, self._key)
        size_bytes = int(frame.estimated_size())
        if size_bytes > self._max_bytes:
            raise BadTable(
                f"{self._path}: {frame.height:,} rows take {size_bytes:,} bytes of memory; "
                f"at most {self._max_bytes:,} are allowed: drop columns, raise max_bytes, or use the store"
            )
        return _Held(version, frame.drop(KEY), frame[KEY])

    def _place(self, held: _Held, key: Key) -> int | None:
        check_parts(key, len(self._key))
        text = key_text(key)
        place = bisect_left(held.keys, text)  # Polars sorts text as Python does, by code point
        return place if place < len(held.keys) and held.keys[place] == text else None

    def _row(self, held: _Held, place: int) -> T:
        return typed(held.frame.row(place, named=True), self._kind, self._path.name)


@asynccontextmanager
async def open_table(
    path: Path,
    *,
    key: str | Sequence[str],
    kind: type[T],
    check_every_s: float | None = CHECK_EVERY_S,
    max_bytes: int = MAX_BYTES,
) -> AsyncIterator[FileTable[T]]:
    """The rows of a file until the block ends, looked at for changes meanwhile.

    Args:
        path: Parquet or Arrow IPC.
        key: the key column or columns.
        kind: what a row is made into; ``dict`` takes it as it is.
        check_every_s: how often the file is looked at; None: never.
        max_bytes: most memory that the rows may take; while they are read anew, twice that is used.

    Raises:
        BadTable: the file cannot be read, or is no such table.
        BadSource: Polars is not installed, or an argument is outside its range.
    """
    if max_bytes < 1 or (check_every_s is not None and not check_every_s > 0):
        raise BadSource(f"{path}: max_bytes and check_every_s must be above 0")
    columns = (key,) if isinstance(key, str) else tuple(key)
    table = await asyncio.to_thread(FileTable, path, columns, kind, max_bytes)
    if check_every_s is None:
        yield table
        return
    watching = asyncio.create_task(_watch(table, check_every_s))
    try:
        yield table
    finally:
        await end(watching)


async def _watch(table: FileTable[T], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await table.refresh()
        except Exception:  # whatever it is, the rows that are there go on being served
            log.exception("a table could not be read anew")


def _version(path: Path) -> _Version:
    state = os.stat(path)
    return state.st_ino, state.st_size, state.st_mtime_ns
