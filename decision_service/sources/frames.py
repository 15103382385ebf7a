"""Files of rows, read with Polars and checked: what is to be a key is one, and what is stored can be.

Polars is imported when the first file is read: a service that reads none need not have it (extra ``tables``).
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from decision_service.sources.errors import BadSource, BadTable
from decision_service.sources.rows import MAX_KEY_BYTES

if TYPE_CHECKING:
    import polars as pl
    from polars._typing import PolarsDataType

SUFFIXES = (".parquet", ".arrow", ".feather", ".ipc")
KEY = "__key__"
"""The column that :func:`table_of` adds: each row's key as :func:`~rows.key_text` spells it."""
_SHOWN = 3


def read_bytes(path: Path) -> bytes:
    """All of a file, at one moment: neither mapped nor read by parts, since somebody may be writing it.

    Raises:
        BadTable: it cannot be read, or its name does not say what it is.
    """
    if path.suffix not in SUFFIXES:
        raise BadTable(f"{path}: legal: a file that ends in {', '.join(SUFFIXES)}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadTable(f"{path}: {error.strerror}") from error


def table_of(data: bytes, path: Path, key: Sequence[str]) -> pl.DataFrame:
    """The rows in a file's bytes with their keys in the column ``KEY``, by which they are sorted.

    Text categories have become text.

    Args:
        data: Parquet or Arrow IPC.
        path: where they are from; its suffix says which.
        key: names of the key columns: text or whole numbers, none null, no two rows alike.

    Raises:
        BadTable: it is no table, or the rows are no such rows; the message names columns and rows.
        BadSource: Polars is not installed.
    """
    try:
        import polars as pl
    except ModuleNotFoundError:
        raise BadSource("a table in a file needs polars: pip install 'sidearm[tables]'") from None
    try:
        frame = pl.read_parquet(data) if path.suffix == ".parquet" else pl.read_ipc(data)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadTable(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    _check_columns(frame, key, path)
    frame = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    _check_no_nulls(frame, key, path)
    frame = frame.with_columns(_key_of(key).alias(KEY)).sort(KEY)
    _check_keys(frame, key, path)
    if not frame.height:
        raise BadTable(f"{path} has no rows: a table without any would make every key missing")
    return frame


def _check_columns(frame: pl.DataFrame, key: Sequence[str], path: Path) -> None:
    import polars as pl

    if not key or len(set(key)) < len(key):
        raise BadTable(f"{path}: name one key column or several different ones; named: {', '.join(key)}")
    for name in key:
        if name not in frame.columns:
            near = get_close_matches(name, frame.columns, n=1)
            hint = f"; nearest: {near[0]!r}" if near else ""
            raise BadTable(f"{path} has no column {name!r}{hint}; there are: {', '.join(frame.columns)}")
        kind = frame.schema[name]
        if not (kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum)):
            raise BadTable(f"{path}: the key column {name!r} is {kind}; legal: text or whole numbers")
    if KEY in frame.columns:
        raise BadTable(f"{path}: the column name {KEY!r} is taken; rename it")
    unusable = [f"{name!r} ({kind})" for name, kind in frame.schema.items() if not _is_usable(kind)]
    if unusable:
        raise BadTable(
            f"{path}: {', '.join(unusable)}: no feature has such a type; "
            "legal: text, numbers, booleans, dates, times, and lists of them; cast or drop the column"
        )


def _is_usable(kind: PolarsDataType) -> bool:
    import polars as pl

    if isinstance(kind, pl.List | pl.Array):
        return _is_usable(kind.inner)
    plain = (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Date, pl.Datetime, pl.Time, pl.Null)
    return kind not in (pl.Int128, pl.UInt128) and (kind.is_integer() or kind.is_float() or kind in plain)


def _check_no_nulls(frame: pl.DataFrame, key: Sequence[str], path: Path) -> None:
    import polars as pl

    for name in key:
        if nulls := frame[name].null_count():
            places = frame.select(pl.arg_where(pl.col(name).is_null())).to_series().head(_SHOWN).to_list()
            raise BadTable(f"{path}: {nulls:,} rows have no {name!r}, the first {_rows(places)}")


def _key_of(key: Sequence[str]) -> pl.Expr:
    """In columns what ``key_text`` does for one key."""
    import polars as pl

    parts = [pl.col(name).cast(pl.String) for name in key]
    if len(parts) == 1:
        return parts[0]
    led = [pl.concat_str([part.str.len_chars().cast(pl.String), pl.lit(":"), part]) for part in parts]
    return pl.concat_str(led)


def _check_keys(frame: pl.DataFrame, key: Sequence[str], path: Path) -> None:
    import polars as pl

    named = ", ".join(map(repr, key))
    repeated = frame.filter(pl.col(KEY) == pl.col(KEY).shift(1))
    if repeated.height:
        shown = repeated.unique(KEY, maintain_order=True).head(_SHOWN).select(key).rows()
        examples = ", ".join(repr(row[0] if len(row) == 1 else row) for row in shown)
        raise BadTable(f"{path}: {repeated.height:,} rows repeat a key in {named}, such as {examples}")
    sizes = frame.select(
        pl.max_horizontal(pl.col(name).cast(pl.String).str.len_bytes() for name in key).max()
    )
    longest = sizes.item() or 0
    if longest > MAX_KEY_BYTES:
        raise BadTable(
            f"{path}: a key of {longest} bytes in {named}; legal: at most {MAX_KEY_BYTES} a column"
        )


def _rows(places: Sequence[int]) -> str:
    return ("row " if len(places) == 1 else "rows ") + ", ".join(str(place) for place in places)
