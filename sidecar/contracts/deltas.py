"""Deltas: how a version travels to whoever has the version before. They fit onto exactly that one.

::

    magic "SDD1" | uint32 length of the header | header, JSON | indices, uint32 | values, float32 | sha256

The header is that of the new version, with version and checksum of the one it changes, and the checksum that
the new version's own whole record would have: what was put together from deltas is proven to be what was
published, bit for bit. Values replace, they are not added: float32 sums would depend on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt

from sidecar.contracts import keys
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.weights import (
    FORMAT,
    Count,
    Weights,
    WeightsHeader,
    WeightValues,
    check_header,
    decode_weights,
    encode_weights,
    seal,
    unseal,
)

if TYPE_CHECKING:
    from sidecar.contracts.store import Client

_MAGIC = b"SDD1"
_ENTRY_BYTES = 8


class _Stored(WeightsHeader, frozen=True, kw_only=True):
    base_version: Count
    base_checksum: str
    checksum: str
    entries: Count


class Delta(NamedTuple):
    """What changes from one version to the next."""

    header: WeightsHeader
    """Of the new version."""
    base_version: int
    base_checksum: str
    checksum: str
    """sha256 of the new version's whole record."""
    indices: npt.NDArray[np.uint32]
    """Ascending."""
    values: WeightValues
    """The new ones."""


class Summed(NamedTuple):
    """Weights, and the sha256 that their whole record has."""

    weights: Weights
    checksum: str


def encode_delta(base: Summed, fresh: Summed) -> bytes:
    """The way from ``base`` to ``fresh``, which has the same shape."""
    was, now = base.weights.values.view(np.uint32), fresh.weights.values.view(np.uint32)
    changed = np.flatnonzero(was != now).astype("<u4")  # bits, not values: keeps -0.0
    header = msgspec.json.encode(
        _Stored(
            **msgspec.structs.asdict(fresh.weights.header),
            base_version=base.weights.header.version,
            base_checksum=base.checksum,
            checksum=fresh.checksum,
            entries=len(changed),
        )
    )
    return seal(_MAGIC, header, changed.tobytes(), fresh.weights.values[changed].astype("<f4").tobytes())


def decode_delta(record: bytes) -> Delta:
    """A delta that is whole, unaltered, of a known format and finite.

    Raises:
        BadWeights: it is not.
    """
    head, body = unseal(_MAGIC, record, "delta")
    try:
        stored = msgspec.json.decode(head, type=_Stored)
    except msgspec.MsgspecError as error:
        raise BadWeights(f"header of a delta: {error}") from error
    if stored.format != FORMAT:
        raise BadWeights(f"delta of format {stored.format}; known here: {FORMAT}")
    if len(body) != stored.entries * _ENTRY_BYTES:
        raise BadWeights(
            f"body of {len(body)} bytes in a delta of {stored.entries} entries of {_ENTRY_BYTES}"
        )
    indices = np.frombuffer(body, "<u4", stored.entries)
    values = np.frombuffer(body, "<f4", stored.entries, offset=indices.nbytes)
    _check(indices, values, 1 << stored.bits)
    header = WeightsHeader(**{name: getattr(stored, name) for name in WeightsHeader.__struct_fields__})
    check_header(header)
    return Delta(header, stored.base_version, stored.base_checksum, stored.checksum, indices, values)


def apply_deltas(base: Summed, deltas: Sequence[Delta]) -> Summed:
    """The weights after all of ``deltas``, each of which fits onto what the one before it left.

    Raises:
        BadWeights: one does not fit, or what comes out is not what was published. ``base`` is unchanged.
    """
    if not deltas:
        return base
    values = base.weights.values.copy()
    header, checksum = base.weights.header, base.checksum
    for delta in deltas:
        if (delta.base_version, delta.base_checksum) != (header.version, checksum):
            raise BadWeights(
                f"delta to version {delta.header.version} is from version {delta.base_version} "
                f"({delta.base_checksum[:12]}), not from {header.version} ({checksum[:12]})"
            )
        if (delta.header.bits, delta.header.interactions) != (header.bits, header.interactions):
            raise BadWeights(f"delta to version {delta.header.version} is of another model")
        values[delta.indices] = delta.values
        header, checksum = delta.header, delta.checksum
    values.flags.writeable = False
    fresh = Weights(header, values)
    found = hashlib.sha256(encode_weights(fresh)).hexdigest()
    if found != checksum:
        raise BadWeights(
            f"version {header.version} put together from deltas has sha256 {found[:12]}, published was "
            f"{checksum[:12]}"
        )
    return Summed(fresh, checksum)


def summed(record: bytes) -> Summed:
    """Weights of a whole record.

    Raises:
        BadWeights: it is not whole.
    """
    return Summed(decode_weights(record), hashlib.sha256(record).hexdigest())


def caught_up(base: Summed, stored: Sequence[bytes]) -> Summed:
    """The newest version that ``stored`` deltas lead to from ``base``; those up to it are passed over.

    A delta that is damaged, or from somewhere else, ends the way: what is before it is a whole version too.

    Raises:
        BadWeights: what comes out is not what was published.
    """
    way: list[Delta] = []
    version, checksum = base.weights.header.version, base.checksum
    for record in stored:
        try:
            delta = decode_delta(record)
        except BadWeights:
            break
        if delta.header.version <= version and not way:
            continue
        if (delta.base_version, delta.base_checksum) != (version, checksum):
            break
        way.append(delta)
        version, checksum = delta.header.version, delta.checksum
    return apply_deltas(base, way)


def read_newest(client: Client, app: str) -> Summed | None:
    """The newest published version, whichever way it travelled; None before the first.

    Raises:
        BadWeights: its record, or a delta behind it, is damaged.
        StoreError: the store is away.
    """
    pipe = client.pipeline(transaction=True)
    pipe.hmget(keys.weights(app), "record", "version")
    pipe.xrange(keys.deltas(app))
    (record, version), entries = cast(
        "tuple[tuple[bytes | None, bytes | None], list[tuple[bytes, dict[bytes, bytes]]]]", pipe.execute()
    )
    if record is None:
        return None
    newest = caught_up(summed(record), [fields.get(b"delta", b"") for _, fields in entries])
    if version is not None and version != b"%d" % newest.weights.header.version:
        raise BadWeights(
            f"version {version.decode()} is published; record and deltas lead to "
            f"{newest.weights.header.version} only"
        )
    return newest


def _check(indices: npt.NDArray[np.uint32], values: WeightValues, size: int) -> None:
    if len(indices) and int(indices.max()) >= size:
        raise BadWeights(f"weight index {int(indices.max())} in a delta; legal are 0 to {size - 1}")
    if np.any(indices[1:] <= indices[:-1]):
        raise BadWeights("weight indices of a delta are not ascending: each may stand once")
    if not np.isfinite(values).all():
        where = int(indices[np.flatnonzero(~np.isfinite(values))[0]])
        raise BadWeights(f"weight {where} in a delta is not finite: only finite weights are served")
