"""The weights record: how a whole model travels. Whatever was altered or cut on the way is refused.

::

    magic "SDW1" | uint32 length of the header | header, JSON | body | sha256 of all that precedes

The body is sparse (all indices as uint32, then all values as float32) or dense (float32), little-endian,
whichever is smaller; the header says which. Small changes travel as ``deltas.py`` has it. VW loads a
truncated model without a word: this must not. Calibrator and ECDF stand in the header: readers that do not
know them yet read the weights all the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from sidecar.contracts.calibration import Calibration, check_calibration
from sidecar.contracts.errors import BadWeights

WeightValues = npt.NDArray[np.float32]

FORMAT = 1
_MAGIC = b"SDW1"
_PREFIX_BYTES = len(_MAGIC) + 4
_DIGEST_BYTES = 32
_SPARSE_ENTRY_BYTES = 8
_DENSE_ENTRY_BYTES = 4

Count = Annotated[int, Meta(ge=0)]


class WeightsHeader(Struct, frozen=True, kw_only=True):
    """What a version of the weights is and how far it was trained."""

    format: int = FORMAT
    version: Count
    bits: Annotated[int, Meta(ge=8, le=24)]
    interactions: tuple[Literal["ca", "aa", "cc"], ...]
    positions: tuple[str, ...]
    """The learner's stream id in every partition; ``0-0`` before the first entry."""
    trained_until_ms: Count
    """Finalisation time of the newest example in it, by the store's clock."""
    epoch: Count
    """The learner's fencing epoch."""
    examples: Count
    """Examples learned since the model was cold."""
    calibration: Calibration | msgspec.UnsetType | None = msgspec.UNSET
    """What the scores mean. None: too few examples yet. Unset: the learner knew of no such thing."""


class _Stored(WeightsHeader, frozen=True, kw_only=True):
    body: Literal["sparse", "dense"]
    entries: Count


@dataclass(frozen=True, eq=False)
class Weights:
    """A model that can be served.

    ``values`` has shape ``(2 ** bits,)``, is read-only and reward-signed: score = sum of w·x, up is good.
    """

    header: WeightsHeader
    values: WeightValues

    def under(self, version: int) -> Weights:
        """The same model under another number."""
        return Weights(msgspec.structs.replace(self.header, version=version), self.values)


def weights_of(header: WeightsHeader, values: WeightValues) -> Weights:
    """Weights with a read-only copy of ``values``.

    Raises:
        BadWeights: another length than ``2 ** bits``, a value that is not finite, or a curve that is none.
    """
    kept = np.array(values, dtype="<f4")
    check_header(header)
    _check_values(header, kept)
    kept.flags.writeable = False
    return Weights(header, kept)


def encode_weights(weights: Weights) -> bytes:
    """The record of ``weights``, sparse where that is smaller. The same weights give the same bytes."""
    used = np.flatnonzero(weights.values.view(np.uint32)).astype("<u4")  # keeps -0.0: bits, not values
    sparse = len(used) * _SPARSE_ENTRY_BYTES < len(weights.values) * _DENSE_ENTRY_BYTES
    header = msgspec.json.encode(
        _Stored(
            **msgspec.structs.asdict(weights.header),
            body="sparse" if sparse else "dense",
            entries=len(used) if sparse else len(weights.values),
        )
    )
    kept = weights.values[used] if sparse else weights.values
    return seal(_MAGIC, header, used.tobytes() if sparse else b"", kept.astype("<f4", copy=False).tobytes())


def decode_weights(record: bytes) -> Weights:
    """The weights of a record that is whole, unaltered, of a known format and finite.

    Raises:
        BadWeights: it is not; the message says what was wrong, what was found, and what is legal.
    """
    head, body = unseal(_MAGIC, record, "weights record")
    stored = _header(head)
    values = _sparse(stored, body) if stored.body == "sparse" else _dense(stored, body)
    fields = {name: getattr(stored, name) for name in WeightsHeader.__struct_fields__}
    header = WeightsHeader(**fields)
    check_header(header)
    _check_values(header, values)
    values.flags.writeable = False
    return Weights(header, values)


def check_header(header: WeightsHeader) -> None:
    """Refuse what a header's own types cannot.

    Raises:
        BadWeights: its calibration must not be served.
    """
    if header.calibration:
        check_calibration(header.calibration)


def seal(magic: bytes, header: bytes, *body: bytes) -> bytes:
    """An envelope: magic, length of the header, header, body, and the sha256 of all of it."""
    record = b"".join((magic, len(header).to_bytes(4, "little"), header, *body))
    return record + hashlib.sha256(record).digest()


def unseal(magic: bytes, record: bytes, what: str) -> tuple[bytes, bytes]:
    """Header and body of an envelope that is whole and unaltered.

    Raises:
        BadWeights: it is not; ``what`` it should be is in the message.
    """
    least = _PREFIX_BYTES + _DIGEST_BYTES
    if len(record) < least:
        raise BadWeights(f"{what} of {len(record)} bytes: at least {least} are needed")
    if record[: len(magic)] != magic:
        raise BadWeights(f"{what} begins with {record[: len(magic)]!r}, not {magic!r}")
    found, said = hashlib.sha256(memoryview(record)[:-_DIGEST_BYTES]).digest(), record[-_DIGEST_BYTES:]
    if found != said:
        raise BadWeights(
            f"{what} of {len(record)} bytes has sha256 {found.hex()[:16]}…, not {said.hex()[:16]}…"
            " as it says: cut or altered"
        )
    body_at = _PREFIX_BYTES + int.from_bytes(record[len(magic) : _PREFIX_BYTES], "little")
    if body_at > len(record) - _DIGEST_BYTES:
        raise BadWeights(f"header of {body_at - _PREFIX_BYTES} bytes in a {what} of {len(record)}")
    return record[_PREFIX_BYTES:body_at], record[body_at:-_DIGEST_BYTES]


def _header(data: bytes) -> _Stored:
    try:
        known = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("format", msgspec.Raw(b"1"))
        if bytes(known) != str(FORMAT).encode():
            raise BadWeights(f"weights record of format {bytes(known)[:20]!r}; known here: {FORMAT}")
        return msgspec.json.decode(data, type=_Stored)
    except msgspec.MsgspecError as error:
        raise BadWeights(f"header of a weights record: {error}") from error


def _sparse(stored: _Stored, body: bytes) -> WeightValues:
    _check_length(stored, body, _SPARSE_ENTRY_BYTES)
    used = np.frombuffer(body, "<u4", stored.entries)
    size = 1 << stored.bits
    if stored.entries and int(used.max()) >= size:
        raise BadWeights(f"weight index {int(used.max())}; legal are 0 to {size - 1} for {stored.bits} bits")
    if np.any(used[1:] <= used[:-1]):
        raise BadWeights("weight indices are not ascending: each may stand once")
    values = np.zeros(size, "<f4")
    values[used] = np.frombuffer(body, "<f4", stored.entries, offset=used.nbytes)
    return values


def _dense(stored: _Stored, body: bytes) -> WeightValues:
    _check_length(stored, body, _DENSE_ENTRY_BYTES)
    return np.frombuffer(body, "<f4").copy()


def _check_length(stored: _Stored, body: bytes, entry_bytes: int) -> None:
    wanted = stored.entries * entry_bytes
    if len(body) != wanted:
        raise BadWeights(f"{stored.body} body of {len(body)} bytes: {stored.entries} entries take {wanted}")


def _check_values(header: WeightsHeader, values: WeightValues) -> None:
    if values.shape != (1 << header.bits,):
        raise BadWeights(f"weights of shape {values.shape}: {header.bits} bits need ({1 << header.bits},)")
    if not np.isfinite(values).all():
        where = int(np.flatnonzero(~np.isfinite(values))[0])
        raise BadWeights(f"weight {where} is {values[where]}: only finite weights are served")
