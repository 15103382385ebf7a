"""The weights record: what is whole comes back as it was, whatever is not is refused."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sidecar.contracts.calibration import MOST_POINTS, Calibration, Curve, curve_of
from sidecar.contracts.deltas import Summed, decode_delta, encode_delta
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.weights import Weights, WeightsHeader, decode_weights, encode_weights, weights_of

HEADER = WeightsHeader(
    version=7,
    bits=8,
    interactions=("ca",),
    positions=("1-0", "0-0"),
    trained_until_ms=12,
    epoch=3,
    examples=40,
)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


def _sparse_values() -> np.ndarray:
    values = np.zeros(256, np.float32)
    values[[3, 200, 255]] = [1.5, -2.0, 1e-30]
    return values


@given(hnp.arrays(np.float32, 256, elements=finite, fill=st.just(np.float32(0.0))))
def test_a_record_gives_back_the_weights_to_the_last_bit(values):
    """Encode and decode are inverse, sparse or dense, and the same weights give the same bytes."""
    record = encode_weights(weights_of(HEADER, values))
    again = decode_weights(record)
    assert again.header == HEADER
    assert again.values.tobytes() == values.tobytes()
    assert encode_weights(again) == record


def test_the_smaller_body_is_chosen():
    """Few weights travel as index and value, many as they lie."""
    sparse = encode_weights(weights_of(HEADER, _sparse_values()))
    dense = encode_weights(weights_of(HEADER, np.ones(256, np.float32)))
    assert len(sparse) < 400 < 256 * 4 < len(dense) < 256 * 4 + 300


def test_decoded_weights_cannot_be_changed():
    """A model that is being served is nobody's to write to."""
    weights = decode_weights(encode_weights(weights_of(HEADER, _sparse_values())))
    with pytest.raises(ValueError, match="read-only"):
        weights.values[0] = 1.0


@pytest.mark.parametrize("values", [_sparse_values(), np.ones(256, np.float32)], ids=["sparse", "dense"])
def test_every_truncation_is_refused(values):
    """A record cut anywhere is refused: VW itself accepts half a model."""
    record = encode_weights(weights_of(HEADER, values))
    for length in range(len(record)):
        with pytest.raises(BadWeights):
            decode_weights(record[:length])


@pytest.mark.parametrize("values", [_sparse_values(), np.ones(256, np.float32)], ids=["sparse", "dense"])
def test_every_altered_byte_is_refused(values):
    """A record with any single byte flipped, or one added, is refused."""
    record = encode_weights(weights_of(HEADER, values))
    for place in range(len(record)):
        for mask in (0x01, 0x80, 0xFF):
            altered = bytearray(record)
            altered[place] ^= mask
            with pytest.raises(BadWeights):
                decode_weights(bytes(altered))
    with pytest.raises(BadWeights):
        decode_weights(record + b"\0")


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data):
    """Nothing but a record is a record, behind the right magic too."""
    for candidate in (data, b"SDW1" + data, _sealed_raw(b"SDW1" + data)):
        with pytest.raises(BadWeights):
            decode_weights(candidate)


@pytest.mark.parametrize(
    ("change", "body", "complaint"),
    [
        ({"format": 2}, b"", "format b'2'; known here: 1"),
        ({"bits": 30}, b"", "bits"),
        ({"interactions": ["ac"]}, b"", "interactions"),
        ({"entries": 2}, b"\0" * 8, "2 entries take 16"),
        ({"entries": 1}, np.uint32(256).tobytes() + np.float32(1).tobytes(), "legal are 0 to 255"),
        ({"entries": 2}, np.uint32([5, 5]).tobytes() + np.float32([1, 1]).tobytes(), "not ascending"),
        ({"entries": 1}, np.uint32(9).tobytes() + np.float32("nan").tobytes(), "weight 9 is nan"),
        ({"body": "dense", "entries": 1}, np.float32(1).tobytes(), r"shape \(1,\)"),
        ({"body": "dense", "entries": 256}, np.full(256, np.inf, "<f4").tobytes(), "weight 0 is inf"),
    ],
)
def test_a_sealed_record_with_illegal_content_is_refused(change, body, complaint):
    """A right checksum does not help what is of another format, out of range or not finite."""
    stored = {**msgspec.to_builtins(HEADER), "body": "sparse", "entries": 0, **change}
    with pytest.raises(BadWeights, match=complaint):
        decode_weights(_sealed(msgspec.json.encode(stored), body))


GOOD = curve_of(np.array([0.0, 1.0]), np.array([0.0, 0.5]))
MANY = np.arange(MOST_POINTS + 1.0)


@pytest.mark.parametrize(
    ("calibration", "complaint"),
    [
        (Calibration(curve_of(np.array([]), np.array([])), GOOD, 1), "calibrator of 0 and 0 bytes"),
        (Calibration(Curve(GOOD.x, GOOD.y[:4]), GOOD, 1), "calibrator of 8 and 4 bytes"),
        (Calibration(Curve(GOOD.x[:7], GOOD.y[:7]), GOOD, 1), "calibrator of 7 and 7 bytes"),
        (Calibration(curve_of(MANY, MANY), GOOD, 1), "1 to 128 points"),
        (Calibration(curve_of(np.array([0.0, np.nan]), np.array([0.0, 1.0])), GOOD, 1), "not finite"),
        (Calibration(curve_of(np.array([0.0, 1.0]), np.array([0.0, np.inf])), GOOD, 1), "not finite"),
        (Calibration(curve_of(np.array([1.0, 1.0]), np.array([0.0, 1.0])), GOOD, 1), "not monotone"),
        (Calibration(curve_of(np.array([0.0, 1.0]), np.array([1.0, 0.9])), GOOD, 1), "not monotone"),
        (Calibration(GOOD, curve_of(np.array([0.0, 1.0]), np.array([0.0, 1.1])), 1), "legal are 0 to 1"),
        (Calibration(GOOD, curve_of(np.array([0.0, 1.0]), np.array([-0.1, 1.0])), 1), "legal are 0 to 1"),
    ],
)
def test_curves_that_must_not_be_served_are_refused(calibration, complaint):
    """Made here, in a sealed record, and in a sealed delta."""
    header = msgspec.structs.replace(HEADER, calibration=calibration)
    values = _sparse_values()
    with pytest.raises(BadWeights, match=complaint):
        weights_of(header, values)
    base = weights_of(HEADER, values)
    with pytest.raises(BadWeights, match=complaint):
        decode_weights(encode_weights(Weights(header, base.values)))
    delta = encode_delta(Summed(base, ""), Summed(Weights(header, base.values), ""))
    with pytest.raises(BadWeights, match=complaint):
        decode_delta(delta)


def test_weights_that_are_not_finite_cannot_be_made():
    """The trainer's side refuses too: such a record is never written."""
    with pytest.raises(BadWeights, match="weight 1 is nan"):
        weights_of(HEADER, np.array([0.0, np.nan] * 128, np.float32))
    with pytest.raises(BadWeights, match="shape"):
        weights_of(HEADER, np.zeros(255, np.float32))


def _sealed(header: bytes, body: bytes) -> bytes:
    return _sealed_raw(b"SDW1" + len(header).to_bytes(4, "little") + header + body)


def _sealed_raw(data: bytes) -> bytes:
    return data + hashlib.sha256(data).digest()
