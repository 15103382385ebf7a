"""Processes of two releases side by side: each reads what the other writes.

A release knows the fields that it knows. What a later one appends, an earlier one passes over; what an
earlier one did not write, a later one has its default for. The earlier release is played by structures that
end where its fields did, and by the bytes that it left in ``golden``.
"""

from __future__ import annotations

import msgspec
import pytest

from sidecar.contracts.application import Exploration
from sidecar.contracts.events import DecisionEvent, decode_decision
from sidecar.contracts.wire import (
    ScoredRow,
    ScoreRequest,
    ScoreResponse,
    ScoreRow,
    decode_request,
    decode_response,
    encode,
)
from tests.parity.test_golden import GOLDEN

NEWEST = max(int(path.stem.split("-")[1]) for path in GOLDEN.glob("decision-*-full.bin"))
FORMS = {
    f"decision-{n}": len(msgspec.msgpack.decode((GOLDEN / f"decision-{n}-plain.bin").read_bytes()))
    for n in range(1, NEWEST)
}
"""Golden bytes to how many fields a decision had then."""

REQUEST = ScoreRequest(
    rows=(ScoreRow({"hour": 9.0}, (0, 1), arm_features={"price": b"\0\0\0\0\0\0\0\0"}),),
    explorations=(Exploration(),),
    arms_key="57a2a47d7f210ad8",
    calibrated=True,
)
RESPONSE = ScoreResponse((ScoredRow(b"\0\0\0\0", b"\0" * 8, b"\0" * 4, b"\0" * 4),), 7, False, 1)


def earlier(kind: type, fields: int) -> type:
    """A structure as it was when it had only so many fields."""
    known = msgspec.structs.fields(kind)[:fields]
    return msgspec.defstruct(
        kind.__name__,
        [
            (one.name, one.type)
            if one.default is msgspec.NODEFAULT and one.default_factory is msgspec.NODEFAULT
            else (
                one.name,
                one.type,
                msgspec.field(default_factory=one.default_factory)
                if one.default is msgspec.NODEFAULT
                else one.default,
            )
            for one in known
        ],
        array_like=True,
        frozen=True,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["full", "plain"])
def test_an_earlier_release_reads_todays_decisions(form, kind):
    """All that it knows of is there, in its place, to the last bit; what came later it passes over."""
    before = earlier(DecisionEvent, FORMS[form])
    stored = (GOLDEN / f"decision-{NEWEST}-{kind}.bin").read_bytes()
    seen, whole = msgspec.msgpack.decode(stored, type=before), decode_decision(stored)
    assert all(
        _same(getattr(seen, name), getattr(whole, name))
        for name in before.__struct_fields__
        if name != "exploration"
    )


@pytest.mark.parametrize("form", FORMS)
def test_todays_release_reads_what_an_earlier_one_writes(form):
    """What was not written has its default: the golden bytes of then, and the same made by its structure."""
    stored = (GOLDEN / f"{form}-plain.bin").read_bytes()
    written = msgspec.msgpack.encode(msgspec.msgpack.decode(stored, type=earlier(DecisionEvent, FORMS[form])))
    event = decode_decision(written)
    assert event == decode_decision(stored)
    assert (event.slots, event.candidates, event.segment) == ((), (), "")
    assert len(FORMS) == NEWEST - 1
    assert len(msgspec.msgpack.decode(stored)) == FORMS[form]


def test_service_and_sidecar_of_two_releases_understand_each_other():
    """Requests and answers of today, read by those of the first release that had columns; and back."""
    old_request, old_response = earlier(ScoreRequest, 4), earlier(ScoreResponse, 3)
    asked = msgspec.msgpack.decode(encode(REQUEST), type=old_request)
    assert (asked.rows, asked.explorations, asked.arms_key) == (
        REQUEST.rows, REQUEST.explorations, REQUEST.arms_key,
    )  # fmt: skip
    told = msgspec.msgpack.decode(encode(RESPONSE), type=old_response)
    assert (told.rows, told.model_version, told.cold) == (RESPONSE.rows, 7, False)
    assert decode_request(msgspec.msgpack.encode(asked)) == msgspec.structs.replace(REQUEST, calibrated=False)
    assert decode_response(msgspec.msgpack.encode(told)) == msgspec.structs.replace(
        RESPONSE, trained_until_ms=0
    )


def _same(one: object, other: object) -> bool:
    return msgspec.msgpack.encode(one) == msgspec.msgpack.encode(other)
