"""Whatever lies in the store, a reader has an answer or one error of ours: never another exception."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import RewardRecord, decode_decision, decode_reward
from sidecar.contracts.scripts.decide import parse_decide, split_stored
from sidecar.contracts.scripts.finalise import decode_example
from sidecar.contracts.scripts.orphan import decode_late
from sidecar.contracts.scripts.reward import target_of
from tests.sidecar.contracts.test_examples import PAYLOAD

RECORDS = msgpack.packb(["k", "20|1.0|0|buy|arm", "z", "10|3.0|5|view|x"], use_bin_type=False)
STORED = b"1700000000000ed|" + PAYLOAD


def torn(whole: bytes) -> st.SearchStrategy[bytes]:
    """Cut anywhere, or with some bytes changed, or something else altogether."""

    def altered(places: list[tuple[int, int]]) -> bytes:
        changed = bytearray(whole)
        for place, byte in places:
            changed[place % len(changed)] = byte
        return bytes(changed)

    cut = st.integers(0, len(whole)).map(lambda end: whole[:end])
    places = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)
    return st.one_of(cut, places.map(altered), st.binary(max_size=64))


kinds = st.one_of(st.sampled_from([b"F", b"N", b"A", b"C", b"E"]), st.binary(max_size=3))
entries = st.fixed_dictionaries(
    {},
    optional={
        b"k": kinds,
        b"i": st.binary(max_size=40),
        b"d": st.one_of(st.just(PAYLOAD), torn(PAYLOAD)),
        b"r": st.one_of(st.just(RECORDS), torn(RECORDS)),
        b"m": st.one_of(st.sampled_from([b"a", b"e"]), st.binary(max_size=3)),
        b"n": st.one_of(st.just(b"k"), st.binary(max_size=3)),
    },
)


@settings(max_examples=1000)
@given(entries)
def test_an_example_is_decoded_or_refused(fields):
    """And what is decoded can be joined: its rewards are records with times that a calendar knows."""
    try:
        joined = decode_example(0, b"1-0", fields)
    except BadEvent:
        return
    assert all(isinstance(one, RewardRecord) for one in joined.rewards)
    assert (joined.kind == "C") == bool(joined.key in {one.key for one in joined.rewards} and joined.key)


@settings(max_examples=1000)
@given(torn(PAYLOAD))
def test_a_decision_is_decoded_or_refused(payload):
    """A byte that is no UTF-8 among them."""
    try:
        decode_decision(payload)
    except BadEvent:
        return


@given(st.dictionaries(st.sampled_from([b"k", b"i", b"m", b"r"]), st.one_of(torn(b"5|1.5|0|buy|"), kinds)))
def test_a_late_reward_is_decoded_or_refused(fields):
    """As an example is."""
    try:
        decode_late(0, b"1-0", fields)
    except BadEvent:
        return


@given(st.one_of(torn(STORED), st.just(b"")))
def test_a_stored_decision_that_is_torn_is_not_at_hand(stored):
    """Its repeat is answered without it; those in the same batch are not touched."""
    (answer,) = parse_decide([(b"DUP", b"0-1", stored)])
    assert answer.status == "DUP"
    try:
        deadline_ms = split_stored(stored).deadline_ms
    except BadEvent:
        deadline_ms = None
    assert answer.deadline_ms == deadline_ms


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "|||||",
        "x|1|0||",
        "1|x|0||",
        "1|1|x||",
        "1|1|0",
        "-5|1|0||",
        f"{10**18}|1|0||",
        f"{'9' * 5000}|1|0||",
    ],
)
def test_a_record_of_another_form_is_refused(stored):
    """A time that no calendar knows would end the archive, not only its row."""
    with pytest.raises(BadEvent):
        decode_reward("k", stored)


@given(st.one_of(st.none(), torn(b"0-18bcfe5680000000000000000ff")), st.one_of(st.none(), torn(b"0-1")))
def test_a_sessions_target_is_an_id_of_ours_or_nobody(went, last):
    """Foreign bytes in a session lead nowhere."""
    target = target_of([went, last])
    assert target == "" or target.encode() in (went, last)
    assert all(letter in "0123456789abcdef-" for letter in target)
