"""Reading what the scripts wrote: examples, late rewards, stored decisions."""

from __future__ import annotations

import msgpack
import pytest

from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import (
    DecisionEvent,
    decode_decision,
    decode_logged,
    encode_decision,
    features_of,
)
from sidecar.contracts.scripts.decide import entry_of, split_stored
from sidecar.contracts.scripts.finalise import decode_example
from sidecar.contracts.scripts.orphan import decode_late

EVENT = DecisionEvent(
    decision_id="0-18bcfe568000000000000000000",
    session_id="s",
    unit_id="u",
    decided_at_ms=1,
    horizon_ms=1000,
    source="model",
    policy="champion",
    model_version=3,
    catalogue="c",
    context={"hour": 21.0},
    outcomes={"hour": "given"},
    arms=("a", "b"),
    given_arms={},
    scores=b"\x00" * 8,
    exploration=Exploration(),
    arm="a",
    arm_index=0,
    propensity=0.5,
    seed="18446744073709551615",
    client_key="mine",
    digest="d",
)
PAYLOAD = encode_decision(EVENT)


def test_an_example_is_the_decision_with_its_rewards_in_order_of_arrival():
    """Equal times are ordered by key, so that a replay aggregates to the same bits."""
    flat = ["b", "20|1.0|0|buy|", "a", "20|2.0|0|buy|", "z", "10|3.0|5|view|x"]
    fields = {b"k": b"F", b"i": b"0", b"d": PAYLOAD, b"r": msgpack.packb(flat, use_bin_type=False)}

    joined = decode_example(3, b"30-1", fields)

    assert (joined.partition, joined.position, joined.decision, joined.payload) == (3, "30-1", EVENT, PAYLOAD)
    assert [(r.key, r.at_ms, r.value) for r in joined.rewards] == [
        ("z", 10, 3.0),
        ("a", 20, 2.0),
        ("b", 20, 1.0),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"k": b"B", b"d": PAYLOAD, b"r": b""},
        {b"k": b"\xff", b"d": PAYLOAD, b"r": b""},
        {b"k": b"F", b"d": PAYLOAD, b"r": b"", b"m": b"x"},
        {b"k": b"C", b"d": PAYLOAD, b"r": b"", b"n": b"key"},
        {b"k": b"E", b"d": PAYLOAD, b"r": b""},
        {b"k": b"F", b"r": b""},
        {b"k": b"F", b"d": PAYLOAD[:-3], b"r": b""},
        {b"k": b"F", b"d": PAYLOAD, b"r": b"\xc1"},
        {b"k": b"F", b"d": PAYLOAD, b"r": msgpack.packb(["odd"])},
        {b"k": b"F", b"d": PAYLOAD, b"r": msgpack.packb(["k", "no record"])},
        {b"k": b"F", b"d": PAYLOAD, b"r": msgpack.packb([1, 2])},
        {b"k": b"F", b"d": PAYLOAD, b"r": msgpack.packb(7)},
    ],
)
def test_an_entry_that_is_no_example_is_named_not_guessed(fields):
    """Whatever stands in the stream, a reader gets one error type and can put the entry aside."""
    with pytest.raises(BadEvent):
        decode_example(0, b"1-0", fields)


@pytest.mark.parametrize(
    ("more", "kind", "mode", "key"),
    [
        ({b"k": b"F"}, "F", "w", ""),
        ({b"k": b"F", b"m": b"e"}, "F", "e", ""),
        ({b"k": b"N", b"m": b"a"}, "N", "a", ""),
        ({b"k": b"A"}, "A", "a", ""),
        ({b"k": b"C", b"n": b"b"}, "C", "a", "b"),
        ({b"k": b"E"}, "E", "e", ""),
    ],
)
def test_the_kind_of_an_entry_tells_its_mode(more, kind, mode, key):
    """Those before the horizon have one mode each; a row without one is of wait."""
    packed = msgpack.packb(["b", "20|1.0|0|buy|"], use_bin_type=False)

    joined = decode_example(0, b"30-1", {b"i": b"0", b"d": PAYLOAD, b"r": packed, **more})

    assert (joined.kind, joined.mode, joined.key) == (kind, mode, key)


@pytest.mark.parametrize("missing", [b"k", b"i", b"m", b"r"])
def test_a_late_reward_needs_every_field(missing):
    """A late stream with something else in it is reported."""
    fields = {b"k": b"L", b"i": b"d", b"m": b"key", b"r": b"5|1.5|0|buy|"}
    assert decode_late(0, b"1-0", fields).reward.value == 1.5

    with pytest.raises(BadEvent):
        decode_late(0, b"1-0", {name: value for name, value in fields.items() if name != missing})
    with pytest.raises(BadEvent):
        decode_late(0, b"1-0", {**fields, b"k": b"F?"})


def test_an_entry_takes_all_that_the_script_needs_from_the_event():
    """Only the event is given; its payload is its stored form."""
    entry = entry_of(EVENT)

    assert entry.payload == PAYLOAD
    assert (entry.client_key, entry.digest, entry.arm, entry.horizon_ms) == ("mine", "d", "a", 1000)


@pytest.mark.parametrize(
    "stored", [b"", b"payload", b"x|payload", b"1w|payload", b"1da|payload", b"1 |payload"]
)
def test_a_stored_decision_without_its_deadline_is_refused(stored):
    """Something else lies under the key."""
    with pytest.raises(BadEvent):
        split_stored(stored)


def test_a_decision_that_is_read_among_thousands_is_the_same_one():
    """Its context unpacked when it is asked for, its outcomes one object with those of others."""
    logged, again, event = decode_logged(PAYLOAD), decode_logged(PAYLOAD), decode_decision(PAYLOAD)
    for name in set(DecisionEvent.__struct_fields__) - {"context"}:
        assert getattr(logged, name) == getattr(event, name), name
    assert features_of(logged) == features_of(event) == event.context
    assert logged.outcomes is again.outcomes
    assert encode_decision(logged) == PAYLOAD


@pytest.mark.parametrize(
    "torn",
    [
        PAYLOAD[:-3],
        PAYLOAD.replace(b"\xa4hour\xcb", b"\xa4hour\xc0", 1),
        PAYLOAD.replace(b"\xa5given", b"\xa5g\xffven", 1),
        PAYLOAD.replace(b"\xa4hour\xa5given", b"\xa4hour\x00given", 1),
    ],
    ids=["cut", "no feature", "no text", "no outcome"],
)
def test_what_is_no_decision_is_none_however_it_is_read(torn):
    """What is unpacked later is looked at now: what is learnt and has no row could never be learnt again."""
    for decode in (decode_decision, decode_logged):
        with pytest.raises(BadEvent):
            decode(torn)
