"""A table of features in the store: its record, and the bytes of its rows.

A table is loaded as a whole, in a *generation*: rows first, under keys that nobody reads, then the record
that names them. Readers go by the record, so that they see the old table or the new one and never half of
either. The rows of a generation lie in ``slots`` hashes, each under a hash tag of its own; a row goes to
the slot that its key's checksum says. A row is its values as a MessagePack array in the order of the
record's columns: names are told once a generation, not once a row.

>>> record = TableRecord("customers", "1-ab", "ab", ("id",), (Column("segment", "String"),), 1, 1, 0)
>>> decode_record(encode_record(record)) == record
True
>>> decode_row(record, encode_row(["new"]))
{'segment': 'new'}
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sidecar.contracts.errors import BadEvent

FORMAT = 1
"""Of the record and the rows; a reader refuses what it does not know."""
GRACE_MS = 60_000
"""How long the rows of a replaced generation stay: a reader learns of the new one with its next question."""

TableName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""Part of a key: no brace, no dot, no colon."""


class Column(Struct, frozen=True, array_like=True):
    """One column of a table, its key columns among them."""

    name: str
    type: str
    """As the loader's data frames call it, for people."""


class TableRecord(Struct, frozen=True):
    """What is known of a table's current generation."""

    table: str
    generation: str
    digest: str
    """Of the file and of how it was loaded: the same again is recognised."""
    key: tuple[str, ...]
    """Names of the key columns."""
    columns: tuple[Column, ...]
    rows: int
    slots: int
    loaded_at_ms: int
    expires_at_ms: int | None = None
    """From then on there is no such table; None: it stays."""
    previous: str | None = None
    """The generation that this one replaced, for whoever cleans up after a loader that died."""
    previous_slots: int = 0
    format: int = FORMAT


_record_decoder = msgspec.msgpack.Decoder(TableRecord)
_row_decoder = msgspec.msgpack.Decoder(list[object])


def encode_record(record: TableRecord) -> bytes:
    """The record as the store keeps it."""
    return msgspec.msgpack.encode(record)


def decode_record(data: bytes) -> TableRecord:
    """The record in ``data``.

    Raises:
        BadEvent: it is none, or of a later format.
    """
    try:
        record = _record_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise BadEvent(f"not the record of a table of features: {error}") from error
    if record.format != FORMAT:
        raise BadEvent(f"table {record.table!r} is of format {record.format}; this program reads {FORMAT}")
    return record


def encode_row(values: Sequence[object]) -> bytes:
    """A row's values, in the order of the record's columns."""
    return msgspec.msgpack.encode(values)


def decode_row(record: TableRecord, data: bytes) -> dict[str, object]:
    """Column to value.

    Raises:
        BadEvent: the bytes are no row of this table.
    """
    try:
        values = _row_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise BadEvent(f"not a row of the table {record.table!r}: {error}") from error
    if len(values) != len(record.columns):
        raise BadEvent(f"a row of {len(values)} values in {record.table!r}, which has {len(record.columns)}")
    return {column.name: value for column, value in zip(record.columns, values, strict=True)}


def slot_of(key: str, slots: int) -> int:
    """The slot in which a row lies: CRC-32 of the key's UTF-8, modulo."""
    return zlib.crc32(key.encode()) % slots if slots > 1 else 0
