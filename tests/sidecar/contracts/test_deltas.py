"""Deltas: onto exactly their base they give exactly what was published; onto anything else, nothing."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sidecar.contracts import keys
from sidecar.contracts.deltas import (
    Summed,
    apply_deltas,
    caught_up,
    decode_delta,
    encode_delta,
    read_newest,
    summed,
)
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.scripts.publish import Publication, publish_call
from sidecar.contracts.store import Scripts
from sidecar.contracts.weights import WeightsHeader, encode_weights, weights_of

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
arrays = hnp.arrays(np.float32, 256, elements=finite, fill=st.just(np.float32(0.0)))


def version(number: int, values) -> Summed:
    header = WeightsHeader(
        version=number,
        bits=8,
        interactions=("ca",),
        positions=(f"{number}-0",),
        trained_until_ms=number,
        epoch=1,
        examples=number,
    )
    weights = weights_of(header, values)
    return Summed(weights, hashlib.sha256(encode_weights(weights)).hexdigest())


def some(number: int) -> Summed:
    values = np.zeros(256, np.float32)
    values[:number] = np.arange(1, number + 1)
    return version(number, values)


@given(arrays, arrays)
def test_a_delta_onto_its_base_gives_the_new_version_to_the_last_bit(before, after):
    """Header, values and checksum; what is the same does not travel."""
    base, fresh = version(1, before), version(2, after)
    record = encode_delta(base, fresh)
    delta = decode_delta(record)
    assert len(delta.indices) == np.count_nonzero(before.view(np.uint32) != after.view(np.uint32))
    found = apply_deltas(base, [delta])
    assert found.weights.header == fresh.weights.header
    assert found.weights.values.tobytes() == fresh.weights.values.tobytes()
    assert found.checksum == fresh.checksum
    assert not found.weights.values.flags.writeable
    assert encode_delta(base, fresh) == record


@pytest.mark.parametrize(
    "base", [some(3), version(2, np.ones(256, np.float32)), version(1, some(2).weights.values)]
)
def test_onto_anything_else_it_is_refused(base):
    """Another version, the same version with other bits, the same bits under another number."""
    delta = decode_delta(encode_delta(some(2), some(3)))
    with pytest.raises(BadWeights, match="is from version 2"):
        apply_deltas(base, [delta])


def test_every_cut_and_every_altered_byte_is_refused():
    """As with the whole record."""
    record = encode_delta(some(2), some(5))
    for length in range(len(record)):
        with pytest.raises(BadWeights):
            decode_delta(record[:length])
    for place in range(len(record)):
        altered = bytearray(record)
        altered[place] ^= 0x80
        with pytest.raises(BadWeights):
            decode_delta(bytes(altered))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data):
    """Behind the right magic too, and sealed."""
    sealed = b"SDD1" + data
    for candidate in (data, sealed, sealed + hashlib.sha256(sealed).digest()):
        with pytest.raises(BadWeights):
            decode_delta(candidate)


def _forged(change: dict, body: bytes) -> bytes:
    record = encode_delta(some(2), some(3))
    size = int.from_bytes(record[4:8], "little")
    header = msgspec.json.encode(msgspec.json.decode(record[8 : 8 + size]) | change)
    forged = b"SDD1" + len(header).to_bytes(4, "little") + header + body
    return forged + hashlib.sha256(forged).digest()


@pytest.mark.parametrize(
    ("change", "body", "complaint"),
    [
        ({"format": 2}, b"", "format 2"),
        ({"entries": 2}, b"", "2 entries"),
        ({"bits": 30}, b"", "bits"),
        ({}, np.uint32(256).tobytes() + np.float32(1).tobytes(), "index 256"),
        ({"entries": 2}, np.uint32([5, 5]).tobytes() + np.float32([1, 2]).tobytes(), "ascending"),
        ({}, np.uint32(7).tobytes() + np.float32("inf").tobytes(), "weight 7"),
    ],
)
def test_a_sealed_delta_with_illegal_content_is_refused(change, body, complaint):
    """A right checksum does not help."""
    with pytest.raises(BadWeights, match=complaint):
        decode_delta(_forged(change, body))


def test_a_delta_that_lies_about_what_comes_out_is_refused():
    """Two bugs could agree on every header; the sum over the whole record they cannot."""
    body = np.uint32(9).tobytes() + np.float32(42).tobytes()
    with pytest.raises(BadWeights, match="put together"):
        apply_deltas(some(2), [decode_delta(_forged({}, body))])


def test_a_chain_is_followed_as_far_as_it_is_whole():
    """What was held already is passed over; after a damaged one or a gap, the last whole version stands."""
    chain = [encode_delta(some(n), some(n + 1)) for n in range(1, 6)]
    assert caught_up(some(3), chain).checksum == some(6).checksum
    assert caught_up(some(1), [*chain[:2], chain[2][:-1], *chain[3:]]).checksum == some(3).checksum
    assert caught_up(some(1), [chain[0], *chain[2:]]).checksum == some(2).checksum
    assert caught_up(some(6), chain).checksum == some(6).checksum
    assert caught_up(some(1), []).checksum == some(1).checksum


class TestPublishing:
    """Through the script and the store."""

    def publish(self, store, number, base=None, whole=True, fresh=None):
        fresh = fresh or some(number)
        delta = encode_delta(base, fresh) if base else b""
        publication = Publication(
            epoch=1,
            version=number,
            record=encode_weights(fresh.weights),
            positions=("0-0",),
            examples=number,
            batches=(),
            checksum=fresh.checksum,
            delta=delta,
            base_version=base.weights.header.version if base else 0,
            base_checksum=base.checksum if base else "",
            whole=whole,
        )
        return Scripts.on(store).run(publish_call("shop", publication))

    def test_the_newest_is_record_and_deltas_together(self, store):
        """Whole, three deltas, whole with a delta, one more: at every moment the newest can be read."""
        assert read_newest(store, "shop") is None
        assert self.publish(store, 1) == b"OK"
        for number, whole in ((2, False), (3, False), (4, False), (5, True), (6, False)):
            assert self.publish(store, number, some(number - 1), whole) == b"OK"
            found = read_newest(store, "shop")
            assert found.checksum == some(number).checksum
            stored = store.hget(keys.weights("shop"), "record")
            assert summed(stored).weights.header.version == (1 if number < 5 else 5)
        assert store.hget(keys.weights("shop"), "version") == b"6"
        assert store.xlen(keys.weights_log("shop")) == 6

    def test_a_delta_alone_needs_what_it_was_made_from(self, store):
        """Otherwise nothing is written and the record is asked for; beside its record it is left out."""
        self.publish(store, 1)
        assert self.publish(store, 4, some(3), whole=False) == b"BASE"
        assert store.hget(keys.weights("shop"), "version") == b"1"
        assert self.publish(store, 4, some(3), whole=True) == b"OK"
        assert store.xlen(keys.deltas("shop")) == 0
        assert read_newest(store, "shop").checksum == some(4).checksum

    def test_the_same_again_is_fine(self, store):
        """A lost reply."""
        self.publish(store, 1)
        assert [self.publish(store, 2, some(1), whole=False) for _ in range(2)] == [b"OK", b"OK"]
        assert store.xlen(keys.deltas("shop")) == 1

    def test_deltas_before_a_record_are_forgotten_but_some(self, store):
        """So that a follower a little behind needs no record, and the stream does not grow."""
        self.publish(store, 1)
        for number in range(2, 100):
            self.publish(store, number, some(number - 1), whole=number % 90 == 0)
        assert store.xlen(keys.deltas("shop")) == 64 + 10
        assert read_newest(store, "shop").checksum == some(99).checksum

    def test_a_gap_is_said(self, store):
        """Somebody deletes a delta: what cannot be put together is no answer."""
        self.publish(store, 1)
        for number in (2, 3):
            self.publish(store, number, some(number - 1), whole=False)
        store.xtrim(keys.deltas("shop"), maxlen=1, approximate=False)
        with pytest.raises(BadWeights, match="lead to 1 only"):
            read_newest(store, "shop")
