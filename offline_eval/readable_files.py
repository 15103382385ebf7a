"""Which files of a log can be read, and why others cannot: a half-written one does not hide sound ones."""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from offline_eval.engine import literal
from sidecar.contracts.columns import ADDED_COLUMNS, DECISION_COLUMNS


class Lost(NamedTuple):
    """Why a file is not read."""

    reason: str
    """``file_unreadable``: no whole Parquet file. ``file_foreign``: of another kind. ``file_damaged``: whole
    by its footer, and not inside."""
    detail: str
    """In words."""


def unreadable(files: Iterable[Path]) -> dict[Path, Lost]:
    """Of some files those that are no decision log, by their footers."""
    found = {path: _judge(path) for path in files}
    return {path: lost for path, lost in found.items() if lost}


def damaged(files: Iterable[Path]) -> dict[Path, Lost]:
    """Of some files those whose footer is sound and whose rows cannot be read. Reads all of them."""
    found = {path: _read_through(path) for path in files if not _judge(path)}
    return {path: lost for path, lost in found.items() if lost}


def _judge(path: Path) -> Lost | None:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        return Lost("file_unreadable", str(error).partition("\n")[0])
    names = set(schema.names)
    missing = [
        one.name for one in DECISION_COLUMNS if one.name not in names and one.name not in ADDED_COLUMNS
    ]
    if missing:
        return Lost("file_foreign", f"column {', '.join(missing)} missing")
    wrong = [
        one.name for one in DECISION_COLUMNS if one.name in names and not _fits(one.type, schema, one.name)
    ]
    if wrong:
        return Lost("file_foreign", f"column {', '.join(wrong)} of another type")
    return None


def _read_through(path: Path) -> Lost | None:
    with duckdb.connect() as connection:
        try:
            connection.execute(
                f"SELECT bit_xor(hash(COLUMNS(*))) FROM read_parquet({literal(str(path))})"
            ).fetchall()
        except duckdb.Error as error:
            return Lost("file_damaged", str(error).partition("\n")[0])
    return None


def _fits(wanted: str, schema: pa.Schema, name: str) -> bool:
    """Whether a column can stand for one of ours: numbers for numbers, text for text; all null for any."""
    found = schema.field(name).type
    if types.is_null(found):
        return True
    if wanted.startswith("list<"):
        inner = wanted[len("list<") : -1]
        return _is_list(found) and (types.is_null(found.value_type) or _IS[inner](found.value_type))
    return _IS[wanted](found)


def _is_list(found: pa.DataType) -> bool:
    return bool(types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found))


def _is_text(found: pa.DataType) -> bool:
    kind = found.value_type if types.is_dictionary(found) else found
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_number(found: pa.DataType) -> bool:
    return bool(types.is_floating(found) or types.is_integer(found) or types.is_decimal(found))


_IS: dict[str, Callable[[pa.DataType], bool]] = {
    "string": _is_text,
    "binary": lambda found: bool(
        types.is_binary(found) or types.is_large_binary(found) or types.is_binary_view(found)
    ),
    "bool": types.is_boolean,
    "timestamp[us, UTC]": types.is_timestamp,
    **dict.fromkeys(("int8", "int16", "int32", "int64"), types.is_integer),
    **dict.fromkeys(("float32", "float64"), _is_number),
}
