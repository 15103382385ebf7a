"""What a body may be, and what the caller is told when it is not: the field, and what is legal there."""

from __future__ import annotations

import json

import msgspec
import pytest

from decision_service.api.recommendations import RecommendationRequest
from decision_service.api.rewards import RewardBatch, RewardRequest
from decision_service.api.values import MAX_ARMS
from decision_service.decoding import decode
from decision_service.errors import BadRequest

RECOMMENDATION = msgspec.json.Decoder(RecommendationRequest)


def refusal(body: bytes | dict, decoder: msgspec.json.Decoder = RECOMMENDATION) -> tuple[str, str]:
    with pytest.raises(BadRequest) as refused:
        decode(decoder, body if isinstance(body, bytes) else json.dumps(body).encode())
    (error,) = refused.value.errors
    return error.pointer, error.detail


def test_the_example_of_the_documentation_is_accepted():
    """Every field at once."""
    request = decode(
        RECOMMENDATION,
        b'{"session_id":"s-42","unit_id":"u-7","decision_id":"mine","context":{"device":"ios","hour":21,'
        b'"returning":true},"arms":["sku-1",{"id":"sku-2","features":{"price":12.5}}],"exclude":["sku-9"],'
        b'"limit":"all","deadline_ms":50}',
    )

    assert request.context == {"device": "ios", "hour": 21.0, "returning": True}
    assert request.limit == "all"


@pytest.mark.parametrize(
    ("field", "value", "pointer", "legal"),
    [
        ("session_id", 7, "/session_id", "text of 1 to 256 characters"),
        ("session_id", "", "/session_id", "text of 1 to 256 characters"),
        ("session_id", "x" * 257, "/session_id", "text of 1 to 256 characters"),
        ("session_id", "a\nb", "/session_id", "without control characters"),
        ("unit_id", {}, "/unit_id", "text of 1 to 256 characters"),
        ("decision_id", "a\x1fb", "/decision_id", "without control characters"),
        ("context", [], "/context", "an object of at most 256 entries"),
        ("context", {f"f{n}": 1 for n in range(257)}, "/context", "an object of at most 256 entries"),
        ("context", {"ok": 1, "a/b": None}, "/context/a~1b", "true or false"),
        ("context", {"ok": 1, "deep": {"er": 1}}, "/context/deep", "a number from -1e+09 to 1e+09"),
        ("context", {"list": [1]}, "/context/list", "text of at most 1024 characters"),
        ("context", {"long": "x" * 1025}, "/context/long", "text of at most 1024 characters"),
        ("context", {"large": 1e10}, "/context/large", "a number from -1e+09 to 1e+09"),
        ("context", {"huge": 10**400}, "/context/huge", "a number from -1e+09 to 1e+09"),
        ("context", {"": 1}, "/context/", "1 to 256 characters"),
        ("context", {"x" * 257: 1}, "/context/" + "x" * 257, "1 to 256 characters"),
        ("arms", [], "/arms", "a list of 1 to 5000 entries"),
        ("arms", "sku-1", "/arms", "a list of 1 to 5000 entries"),
        ("arms", [str(n) for n in range(MAX_ARMS + 1)], "/arms", "a list of 1 to 5000 entries"),
        ("arms", ["a", 7], "/arms/1", "an object with id, features"),
        ("arms", ["a", {"features": {}}], "/arms/1/id", "text of 1 to 256 characters"),
        ("arms", [{"id": "a", "colour": 1}], "/arms/0/colour", "known here: id, features"),
        ("arms", [{"id": "a", "features": {"x": []}}], "/arms/0/features/x", "true or false"),
        ("exclude", [""], "/exclude/0", "text of 1 to 256 characters"),
        ("limit", 0, "/limit", "an integer from 1 to 50, or 'all'"),
        ("limit", "some", "/limit", "an integer from 1 to 50, or 'all'"),
        ("limit", True, "/limit", "an integer from 1 to 50, or 'all'"),
        ("deadline_ms", 0, "/deadline_ms", "an integer from 1 to 10000"),
        ("deadline_ms", 2.5, "/deadline_ms", "an integer from 1 to 10000"),
        ("colour", "red", "/colour", "known here: session_id, unit_id"),
    ],
)
def test_a_bad_field_is_named_with_what_is_legal(field, value, pointer, legal):
    """Wrong type, too long, too many, too deep, unknown."""
    found, detail = refusal({"session_id": "s", field: value})

    assert found == pointer
    assert legal in detail


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_not_finite_is_refused_where_it_stands(word):
    """msgspec says only at which byte."""
    context = b'{"session_id":"s","context":{"ok":1,"bad":%s}}' % word.encode()
    arm = b'{"session_id":"s","arms":["a",{"id":"b","features":{"bad":%s}}]}' % word.encode()

    assert refusal(context)[0] == "/context/bad"
    assert refusal(arm)[0] == "/arms/1/features/bad"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\x00",
        b"null",
        b"[]",
        b'"text"',
        b'{"session_id":"s"} trailing',
        b'{"session_id":"\xff\xfe"}',
        b'{"session_id":"\\ud800"}',
        b"[" * 100_000,
        b'{"session_id":"s","context":' + b"[" * 100_000,
        b'{"session_id":"s","context":{"x":' + b'{"x":' * 50_000,
        b'{"session_id":"s","more":' + b"[" * 100_000 + b"NaN",
        b'{"session_id":"s","context":{"x":' + b"9" * 100_000 + b"}}",
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_object_is_refused_and_nothing_worse(body):
    """Cut, nested a thousand times, no text: one clear refusal each."""
    assert refusal(body)[1]


def test_fields_of_rewards_are_named_inside_the_batch():
    """The pointer leads into the list."""
    decoder = msgspec.json.Decoder(RewardBatch)

    assert (
        refusal({"rewards": [{"session_id": "s"}, {"session_id": 7}]}, decoder)[0] == "/rewards/1/session_id"
    )
    assert refusal({"rewards": []}, decoder)[0] == "/rewards"
    assert refusal({}, decoder)[0] == "/rewards"


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"1e999", b'"1"', b"true"])
def test_a_reward_is_a_finite_number(word):
    """Nothing is coerced."""
    body = b'{"session_id":"s","reward":%s}' % word

    assert refusal(body, msgspec.json.Decoder(RewardRequest))[0] == "/reward"


@pytest.mark.parametrize(
    "twice",
    [
        b'"context":{"a":{}},"context":5',
        b'"context":{"a":{}},"context":{}',
        b'"arms":[{"id":"a","features":{"x":[]}}],"arms":null',
        b'"arms":[{"id":"a","features":{"x":[]}}],"arms":[]',
        b'"arms":[{"id":"a","features":{"x":[]}}],"arms":["a"]',
        b'"arms":[{"id":"a","features":{"x":[]}}],"arms":[{"id":"a"}]',
    ],
)
def test_a_field_that_stands_twice_is_refused_and_nothing_worse(twice):
    """The second reading keeps the last of equal keys, the first one stumbles over the first of them."""
    pointer, detail = refusal(b'{"session_id":"s",' + twice + b"}")

    assert pointer in ("/context", "/arms/0/features")
    assert "Expected `bool | float | str`" in detail
