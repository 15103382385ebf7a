"""Decisions that may never be shown, and horizons that differ, over real HTTP on the real store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from decision_service.times import millis
from sidecar.contracts.ids import partition_of_decision
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.finalise import decode_example
from sidecar.contracts.store import Scripts
from sidecar.contracts.upkeep import finalise_due, read_books
from tests.decision_service.platform import Platform, platform

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NEVER_MADE = "1-18bcfe5680000000000000000ff"


OTHERS = [pytest.param(mode, marks=pytest.mark.slow) for mode in ("assume", "earliest")]


@pytest.fixture(scope="module", params=["wait", *OTHERS])
def shop(request: pytest.FixtureRequest) -> Iterator[Platform]:
    with platform(sidecar=False, mode=request.param) as made:
        made.mode = request.param
        yield made


def activate(shop: Platform, decision_id: str, **body) -> httpx.Response:
    return shop.client.post(f"/v1/decisions/{quote(decision_id, safe='')}/activate", json=body or None)


def keys_of(decision_id: str) -> Keys:
    return Keys("bench", partition_of_decision(decision_id, 2))


def entries_of(shop: Platform, decision_id: str) -> list:
    """What the example stream says of a decision, in order."""
    keys = keys_of(decision_id)
    found = [decode_example(keys.partition, *entry) for entry in shop.store.xrange(keys.examples)]
    return [one for one in found if one.decision.decision_id == decision_id]


def let_pass(shop: Platform, decision_id: str, passing_ms: int) -> None:
    """Move the clock of the decision's partition, and close what is due."""
    keys, scripts = keys_of(decision_id), Scripts.on(shop.store)
    shop.store.incrby(keys.skew, passing_ms)
    while finalise_due(scripts, keys, tombstone_ms=DAY_MS):
        pass
    assert read_books(scripts, keys, count_rewards=True) == (0, 0)


def test_a_deferred_decision_counts_once_it_is_activated(shop):
    """Its reward may be there before: nothing is taught of it until then, and then all of it."""
    decision_id = shop.recommend(session_id="shown", deferred=True).json()["decision_id"]
    shop.reward(decision_id=decision_id, event="purchase", reward_id="r")
    assert (shop.decision(decision_id)["state"], entries_of(shop, decision_id)) == ("deferred", [])

    answers = [activate(shop, decision_id) for _ in range(2)]

    assert [(a.status_code, a.json()["status"]) for a in answers] == [(200, "activated"), (200, "duplicate")]
    found = shop.decision(decision_id)
    assert (found["state"], found["mode"], found["inclusion_probability"]) == ("pending", shop.mode, 1.0)
    assert {a.json()["reward_until"] for a in answers} == {found["reward_until"]}
    let_pass(shop, decision_id, HOUR_MS)
    kinds = {"wait": "F", "assume": "ACF", "earliest": "EF"}[shop.mode]
    assert "".join(one.kind for one in entries_of(shop, decision_id)) == kinds
    assert {one.mode for one in entries_of(shop, decision_id)} == {shop.mode[0]}
    assert activate(shop, decision_id).json()["status"] == "duplicate"
    assert shop.decision(decision_id)["state"] == "final"


def test_one_that_is_never_activated_is_logged_as_such(shop):
    """With its rewards, and nothing was ever taught of it; an activation after the end is told so."""
    decision_id = shop.recommend(session_id="hidden", deferred=True).json()["decision_id"]
    shop.reward(decision_id=decision_id, event="purchase", reward_id="r")

    let_pass(shop, decision_id, HOUR_MS)

    (row,) = entries_of(shop, decision_id)
    assert (row.kind, [r.value for r in row.rewards], row.decision.deferred) == ("N", [1.0], True)
    assert shop.decision(decision_id)["state"] == "never_activated"
    late = activate(shop, decision_id)
    assert (late.status_code, late.json()) == (
        200,
        {"status": "late", "decision_id": decision_id, "reward_until": None},
    )


def test_the_horizon_may_begin_at_the_activation(shop):
    """The day after: what was decided an hour ago takes rewards for a week from now on; its session too."""
    decision_id = shop.recommend(session_id="slow", deferred=True).json()["decision_id"]
    keys = keys_of(decision_id)
    shop.store.incrby(keys.skew, HOUR_MS // 2)

    until = activate(shop, decision_id, horizon_s=7 * 86_400.0).json()["reward_until"]
    again = activate(shop, decision_id, horizon_s=1.0).json()

    assert again == {"status": "duplicate", "decision_id": decision_id, "reward_until": until}
    (score,) = shop.store.zmscore(keys.due, [decision_id])
    assert millis(until) == score
    assert shop.store.pttl(keys.session("slow")) > 8 * DAY_MS - HOUR_MS
    let_pass(shop, decision_id, 6 * DAY_MS)
    assert shop.reward(session_id="slow", event="purchase", reward_id="r").json()["status"] == "accepted"
    let_pass(shop, decision_id, DAY_MS)
    assert entries_of(shop, decision_id)[-1].kind == "F"


@pytest.mark.parametrize("name", [NEVER_MADE, "order-77", "a/b c", "ff-18bcfe5680000000000000000ff"])
def test_an_activation_of_what_nobody_knows_is_no_error(shop, name):
    """Overload may have shed it: its caller need not care."""
    answer = activate(shop, name)

    assert (answer.status_code, answer.json()["status"]) == (200, "unknown")


def test_what_was_never_deferred_is_active_already(shop):
    """Activating everything that is shown is a way to use it."""
    answer = shop.recommend(session_id="plain").json()

    found = activate(shop, answer["decision_id"]).json()
    assert (found["status"], found["reward_until"]) == ("duplicate", answer["reward_until"])


async def test_concurrent_activations_are_one(shop):
    """Twenty copies at once."""
    decision_id = shop.recommend(session_id="crowd", deferred=True).json()["decision_id"]
    headers = {"authorization": f"Bearer {shop.key}"}
    async with httpx.AsyncClient(base_url=shop.url, headers=headers, timeout=30.0) as client:
        path = f"/v1/decisions/{decision_id}/activate"
        answers = await asyncio.gather(*(client.post(path) for _ in range(20)))

    assert sorted(a.json()["status"] for a in answers) == ["activated"] + ["duplicate"] * 19


@pytest.mark.parametrize(("horizon_s", "days"), [(0.001, 0), (5, 0), (14 * 86_400, 14)])
def test_a_request_chooses_its_horizon(shop, horizon_s, days):
    """From milliseconds to weeks; it is in the log and in the answer."""
    keys = [Keys("bench", p) for p in range(2)]
    skews = [int(shop.store.get(one.skew) or 0) for one in keys]
    answer = shop.recommend(session_id=f"h-{horizon_s}", horizon_s=horizon_s).json()

    partition = partition_of_decision(answer["decision_id"], 2)
    seconds, micros = shop.store.time()
    ahead_ms = millis(answer["reward_until"]) - skews[partition] - seconds * 1000 - micros // 1000
    assert ahead_ms <= horizon_s * 1000
    assert round(ahead_ms / DAY_MS) == days
    let_pass(shop, answer["decision_id"], round(horizon_s * 1000))
    row = entries_of(shop, answer["decision_id"])[-1]
    assert (row.kind, row.decision.horizon_ms) == ("F", round(horizon_s * 1000))


@pytest.mark.parametrize("horizon_s", [0, -1, 5e6, 1e300, "1", True])
def test_a_horizon_out_of_bounds_is_refused(shop, horizon_s):
    """By request and by activation; the longest is the application's."""
    decision_id = shop.recommend(session_id="bound", deferred=True).json()["decision_id"]

    for refused in (shop.recommend(horizon_s=horizon_s), activate(shop, decision_id, horizon_s=horizon_s)):
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/horizon_s"
    assert shop.decision(decision_id)["state"] == "deferred"


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 422), (b"[]", 422), (b'{"until": 1}', 422), (b"{}", 200), (b"", 200)]
)
def test_the_body_of_an_activation_is_checked(shop, body, status):
    """It may be left out, not be nonsense."""
    path = f"/v1/decisions/{NEVER_MADE}/activate"
    assert shop.client.post(path, content=body).status_code == status
    assert shop.client.get(path).status_code == 405
    assert httpx.post(shop.url + path).status_code == 401


def test_a_request_that_defers_is_another_request(shop):
    """The same key may not be used for both; a field that says nothing changes nothing."""
    first = shop.recommend(session_id="key", decision_id="mine").json()

    same = shop.recommend(session_id="key", decision_id="mine", deferred=False, horizon_s=None).json()
    other = shop.recommend(session_id="key", decision_id="mine", deferred=True)

    assert (same["decision_id"], same["source"]) == (first["decision_id"], "repeat")
    assert other.status_code == 409
