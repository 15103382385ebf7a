"""The columns of the contract as Arrow sees them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from sidecar.contracts.columns import Column

_SIMPLE = {
    "string": pa.string(),
    "binary": pa.binary(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "timestamp[us, UTC]": pa.timestamp("us", tz="UTC"),
}


_NEARLY_ALL_DIFFERENT = frozenset(
    (
        *("decision_id", "session_id", "unit_id", "decided_at", "position"),
        *("propensity", "scores", "context", "event", "rewards"),
    )
)


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """The schema of a dataset.

    >>> schema_of([Column("pmf", "list<float64>", True, "")]).field("pmf").type
    ListType(list<item: double>)
    """
    return pa.schema([pa.field(c.name, _type(c.type), c.nullable) for c in columns])


def compression_of(schema: pa.Schema) -> dict[str, str]:
    """Path of each leaf column to its codec: numbers fast, text small."""
    return {path: codec for field in schema for path, codec in _leaves(field.name, field.type)}


def dictionary_of(schema: pa.Schema) -> list[str]:
    """Leaf columns that hold the same few values again and again; of the others a dictionary is a copy."""
    leaves = [path for field in schema for path, _ in _leaves(field.name, field.type)]
    return [path for path in leaves if path.partition(".")[0] not in _NEARLY_ALL_DIFFERENT]


def _type(name: str) -> pa.DataType:
    if name in _SIMPLE:
        return _SIMPLE[name]
    kind, _, inner = name.removesuffix(">").partition("<")
    if kind == "list":
        return pa.list_(_type(inner))
    if kind == "struct":
        return pa.struct([pa.field(n, _type(t)) for n, t in (part.split(": ") for part in inner.split(", "))])
    raise ValueError(f"{name!r} is no column type of the contract")


def _leaves(path: str, kind: pa.DataType) -> list[tuple[str, str]]:
    if pa.types.is_list(kind):
        return _leaves(f"{path}.list.element", kind.value_type)
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _leaves(f"{path}.{field.name}", field.type)]
    return [(path, "zstd" if pa.types.is_string(kind) or pa.types.is_binary(kind) else "snappy")]
