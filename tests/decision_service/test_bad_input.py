"""Everything that a caller may get wrong: 4xx, a problem that names the field, a service alive."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.decision_service.platform import Platform, platform

LIMIT = 256 * 1024


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform(sidecar=False) as made:
        yield made


@pytest.fixture(autouse=True)
def _still_alive(shop: Platform) -> Iterator[None]:
    """Whatever a test sends, the service answers the next request."""
    yield
    assert shop.service is not None
    assert shop.service.alive()
    assert shop.recommend(session_id="after").status_code == 201


def assert_problem(response, status: int, pointer: str | None = None) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:sidearm:problem:")
    assert body["title"]
    assert body["detail"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in body["errors"]]
    return body


def deep(levels: int) -> object:
    inner: object = 1
    for _ in range(levels):
        inner = [inner]
    return inner


HUGE = "x" * 2000
BAD_RECOMMENDATIONS = [
    ({}, "/session_id"),
    *[({"session_id": value}, "/session_id") for value in (None, 1, True, [], {}, "", HUGE, "a\x00b")],
    *[({"unit_id": value}, "/unit_id") for value in (1, [], "", HUGE)],
    *[({"decision_id": value}, "/decision_id") for value in (1, {}, "", HUGE, "\x1f")],
    ({"decision_id": "0-18bcfe5680000000000000000ff"}, "/decision_id"),
    *[({"context": value}, "/context") for value in (1, "x", [], {str(n): 1 for n in range(257)})],
    *[({"context": {"f": value}}, "/context/f") for value in (None, [], {}, HUGE, 1e300, deep(200))],
    ({"context": {HUGE: 1}}, f"/context/{HUGE}"),
    *[({"arms": value}, "/arms") for value in (1, "x", {}, [], [str(n) for n in range(5001)])],
    *[({"arms": ["sku-1", value]}, "/arms/1") for value in (1, None, "", HUGE, "sku-1", {"id": "sku-1"})],
    ({"arms": [{"id": 1}]}, "/arms/0/id"),
    ({"arms": [{"id": "a", "features": {"f": deep(200)}}]}, "/arms/0/features/f"),
    ({"arms": [{"id": "a", "weight": 1}]}, "/arms/0/weight"),
    *[({"exclude": value}, "/exclude") for value in (1, "x", {})],
    ({"exclude": [1]}, "/exclude/0"),
    *[({"limit": value}, "/limit") for value in (0, -1, 1.5, "x", [], 10**30)],
    *[({"deadline_ms": value}, "/deadline_ms") for value in (0, -1, 1.5, "x", 10**9)],
    ({"user": "x"}, "/user"),
]


@pytest.mark.parametrize(("fields", "pointer"), BAD_RECOMMENDATIONS)
def test_a_bad_recommendation_names_its_field(shop, fields, pointer):
    """Missing, of the wrong type, too long, too deep, unknown, out of range, repeated."""
    body = {"session_id": "s", **fields} if fields else {}

    assert_problem(shop.client.post("/v1/recommendations", json=body), 422, pointer)


BAD_REWARDS = [
    ({}, "/decision_id"),
    ({"event": "purchase"}, "/decision_id"),
    ({"session_id": "s"}, "/event"),
    ({"session_id": "s", "event": "theft"}, "/event"),
    ({"session_id": "s", "event": "theft", "reward": 1}, "/event"),
    *[({"session_id": "s", "event": value}, "/event") for value in (1, [], "", HUGE)],
    *[({"session_id": "s", "reward": value}, "/reward") for value in ("1", [], True, 11, -10.5, 1e308)],
    *[({"session_id": value, "event": "view"}, "/session_id") for value in (1, [], "", HUGE, "a\nb")],
    *[({"decision_id": value, "event": "view"}, "/decision_id") for value in (1, [], "", HUGE)],
    *[({"session_id": "s", "event": "view", "arm": value}, "/arm") for value in (1, "", HUGE)],
    *[({"session_id": "s", "event": "view", "reward_id": value}, "/reward_id") for value in (1, "", HUGE)],
    *[
        ({"session_id": "s", "event": "view", "occurred_at": value}, "/occurred_at")
        for value in (1, "yesterday", "2026-01-01T12:00:00", "2026-13-01T12:00:00Z", HUGE)
    ],
    ({"session_id": "s", "event": "view", "value": 1}, "/value"),
]


@pytest.mark.parametrize(("body", "pointer"), BAD_REWARDS)
def test_a_bad_reward_names_its_field(shop, body, pointer):
    """Alone, and inside a batch, where the pointer leads to it."""
    assert_problem(shop.client.post("/v1/rewards", json=body), 422, pointer)
    batch = {"rewards": [{"session_id": "s", "event": "view"}, body]}
    assert_problem(shop.client.post("/v1/rewards/batch", json=batch), 422, f"/rewards/1{pointer}")


@pytest.mark.parametrize("name", ["order-77", "ff-18bcfe5680000000000000000ff"])
def test_a_reward_for_a_name_that_nobody_knows_is_no_error(shop, name):
    """202 and unknown; the same again is a duplicate, so nothing is counted twice and the reward is kept."""
    body = {"decision_id": name, "event": "purchase", "reward_id": "r-1"}
    replies = [shop.client.post("/v1/rewards", json=body) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, 202]
    assert [reply.json()["status"] for reply in replies] == ["unknown", "duplicate"]


@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/rewards", "/v1/rewards/batch"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\x00\xff",
        b'{"session_id": NaN}',
        b'{"session_id": "\\ud800"}',
        b'{"session_id": "\xff"}',
        b"[" * 100_000,
        b'{"session_id":' * 10_000,
        b'{"session_id":"s","context":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b"9" * 100_000,
        b'{"rewards":[' + b"{}," * 50_000 + b"{}]}",
    ],
)
def test_a_body_that_is_no_request_is_refused(shop, path, body):
    """Cut, binary, nested a hundred thousand times: 422, never 500."""
    assert_problem(shop.client.post(path, content=body), 422)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_no_number_but_a_finite_one(shop, word):
    """In the context, in an arm's features, and as a reward, each named."""
    context = f'{{"session_id":"s","context":{{"f":{word}}}}}'
    arm = f'{{"session_id":"s","arms":[{{"id":"a","features":{{"f":{word}}}}}]}}'
    reward = f'{{"session_id":"s","event":"view","reward":{word}}}'

    assert_problem(shop.client.post("/v1/recommendations", content=context), 422, "/context/f")
    assert_problem(shop.client.post("/v1/recommendations", content=arm), 422, "/arms/0/features/f")
    assert_problem(shop.client.post("/v1/rewards", content=reward), 422, "/reward")


def test_all_arms_excluded_leaves_nothing_to_decide(shop):
    """422: there is no arm to answer with."""
    body = assert_problem(shop.recommend(arms=["a"], exclude=["a"]), 422)
    assert "exclude fewer" in body["detail"]


def body_of(length: int) -> bytes:
    frame = json.dumps({"session_id": "s", "exclude": [""]}).encode()
    return frame.replace(b'""', b'"' + b"x" * (length - len(frame)) + b'"')


def test_a_body_over_the_limit_is_413(shop):
    """One byte more than 256 KiB; at the limit it is read, and refused for what it says."""
    assert_problem(shop.client.post("/v1/recommendations", content=body_of(LIMIT)), 422, "/exclude/0")
    assert_problem(shop.client.post("/v1/recommendations", content=body_of(LIMIT + 1)), 413, "")


def test_a_chunked_body_is_counted_as_it_comes(shop):
    """Without a length in front: refused as soon as it is too long, whatever was promised."""
    chunks = (b"x" * 16_384 for _ in range(64))

    assert_problem(shop.client.post("/v1/recommendations", content=chunks), 413)


def test_a_chunked_body_within_the_limit_is_read(shop):
    """Chunks are put together again."""
    chunks = (bytes([byte]) for byte in b'{"session_id":"chunked"}')

    assert shop.client.post("/v1/recommendations", content=chunks).status_code == 201


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("", 401), ("Bearer", 401), ("Bearer sk_wrong", 401), ("Basic eDp5", 401), ("Bearer \x80\xff", 401)],
)
def test_without_a_key_nobody_comes_in(shop, authorization, status):
    """And before the body is looked at."""
    headers = {"authorization": authorization.encode("latin-1")}
    for method, path in [
        ("POST", "/v1/recommendations"),
        ("POST", "/v1/rewards"),
        ("GET", "/v1/decisions/x"),
    ]:
        response = shop.client.request(method, path, headers=headers, content=b"{")
        assert_problem(response, status)
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/recommendations", 405),
        ("DELETE", "/v1/rewards", 405),
        ("POST", "/v1/decisions/x", 405),
        ("POST", "/livez", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/v1/decisions/", 404),
        ("POST", "/docs", 405),
        ("GET", "/v1/decisions/%00", 404),
        ("GET", "/v1/decisions/a%2Fb", 404),
        ("GET", "/v1/decisions/%ff%fe", 404),
    ],
)
def test_what_does_not_exist_is_a_problem_too(shop, method, path, status):
    """The framework's own refusals included."""
    assert_problem(shop.client.request(method, path), status)


def test_a_long_idempotency_key_is_refused(shop):
    """256 characters at most."""
    response = shop.reward({"Idempotency-Key": "k" * 257}, session_id="s", event="view")

    assert "Idempotency-Key" in assert_problem(response, 422)["detail"]
