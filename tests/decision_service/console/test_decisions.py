"""The data of the page Decisions: found in the store and in the log, told whole, done again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.decision_service.platform import Platform, platform
from tests.waiting import until

HOSTILE = "<img src=x onerror=alert(1)>'; DROP TABLE log; --"


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform(reward="early_window_s = 5") as made:
        for number in range(12):
            made.recommend(
                session_id=f"s-{number % 3}", unit_id=f"u-{number}", context={"device": "ios"}
            ).raise_for_status()
        made.recommend(session_id=HOSTILE, context={"note": HOSTILE}, limit=3).raise_for_status()
        yield made


@pytest.fixture(scope="module")
def archived() -> Iterator[Platform]:
    """One whose decisions are finalised at once, and archived, and gone from the store."""
    with platform(reward="early_window_s = 5", sections="[learner]\narchive_every_s = 0.5\n") as made:
        learner = made.start_of("policy_learner")
        answers = [
            made.recommend(session_id=f"s-{n}", limit=2, horizon_s=0.05).raise_for_status().json()
            for n in range(6)
        ]
        made.answers = answers
        folder = made.data.log("bench") / "decisions"
        learner.wait_until(lambda: list(folder.rglob("*.parquet")), 60.0)
        until(lambda: found(made)["looked_in_log"] == 12, 60.0)
        for key in made.store.scan_iter("*:[dsf]:*"):
            made.store.delete(key)
        yield made


def found(shop: Platform, **query) -> dict:
    answer = shop.client.get("/v1/console/decisions", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(listed: dict) -> list[str]:
    return [one["decision_id"] for one in listed["decisions"]]


def newest_ms(shop: Platform) -> int:
    return found(shop)["decisions"][0]["decided_at_ms"]


def test_the_newest_come_first(shop):
    """With how far was looked, and why no further."""
    listed = found(shop)
    times = [one["decided_at_ms"] for one in listed["decisions"]]
    assert (len(times), times) == (13, sorted(times, reverse=True))
    assert (listed["looked_in_store"], listed["looked_in_log"]) == (13, None)
    assert "archived" in listed["log_why_not"]
    assert {one["where"] for one in listed["decisions"]} == {"store"}


def test_what_is_known_of_them_finds_them(shop):
    """Everything that is given at once; spaces around it are not meant."""
    assert len(ids(found(shop, session_id=" s-1 "))) == 4
    assert len(ids(found(shop, unit_id="u-7"))) == 1
    assert len(ids(found(shop, session_id="s-1", unit_id="u-0"))) == 0
    (hostile,) = found(shop, session_id=HOSTILE)["decisions"]
    assert (hostile["session_id"], hostile["decided_at_ms"]) == (HOSTILE, newest_ms(shop))
    assert len(ids(found(shop, limit=5))) == 5
    everything = found(shop)
    arm = everything["decisions"][3]["arm"]
    assert all(one["arm"] == arm or one["session_id"] == HOSTILE for one in found(shop, arm=arm)["decisions"])
    at_ms = everything["decisions"][4]["decided_at_ms"]
    assert ids(found(shop, until_ms=at_ms)) == [
        one["decision_id"] for one in everything["decisions"] if one["decided_at_ms"] < at_ms
    ]
    assert ids(found(shop, since_ms=at_ms + 60_000)) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"colour": "red"}, "/colour"),
        ({"since_ms": "yesterday"}, "/since_ms"),
        ({"limit": "100000"}, "/limit"),
        ({"until_ms": "-5"}, "/until_ms"),
        ({"session_id": "x" * 300}, "/session_id"),
        ({"decision_id": "x"}, "/decision_id"),
    ],
)
def test_what_cannot_be_looked_for_is_named(shop, query, field):
    refused = shop.client.get("/v1/console/decisions", params=query)
    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json()["errors"]] == [field]


def test_one_decision_is_told_whole_and_done_again(shop):
    """Its draw here, slot by slot; its scores are nobody's, since no weights were published."""
    (decision_id,) = ids(found(shop, session_id=HOSTILE))
    one = shop.client.get(f"/v1/console/decisions/{decision_id}").json()
    assert (one["where"], one["decision"]["context"]["note"]) == ("store", HOSTILE)
    assert one["decision"] == shop.decision(decision_id)
    assert one["explanation"]["why"] == "alike"
    assert [(check["what"], check["ok"]) for check in one["replay"]] == [("draw", True), ("scores", None)]
    assert "the same 3 arms" in one["replay"][0]["told"]


def test_foreign_bytes_in_the_store_hide_no_decision(shop):
    """Neither in a session nor among those that are pending."""
    shop.store.zadd("{bench.0}:due", {"not-one-of-ours": 9e15, "0-zz": 9e15})
    shop.store.xadd("{bench.0}:ex", {"k": "F", "d": b"\xc1 torn"})
    try:
        assert len(ids(found(shop))) == 13
    finally:
        shop.store.zrem("{bench.0}:due", "not-one-of-ours", "0-zz")
        shop.store.delete("{bench.0}:ex")


@pytest.mark.parametrize("decision_id", ["nonsense", "0-00000000000ffffffffffffffff", "..%2F..%2Fkeys.json"])
def test_one_that_is_nowhere_is_not_found(shop, decision_id):
    assert shop.client.get(f"/v1/console/decisions/{decision_id}").status_code == 404


@pytest.mark.slow
def test_what_the_store_has_no_more_is_in_the_log(archived):
    """With its event, so that it is drawn again from there too."""
    listed = found(archived)
    assert {one["where"] for one in listed["decisions"]} == {"log"}
    assert sorted(ids(listed)) == sorted(one["decision_id"] for one in archived.answers)
    asked = archived.answers[2]
    one = archived.client.get(f"/v1/console/decisions/{asked['decision_id']}").json()
    assert (one["where"], one["decision"]["arm"], one["decision"]["state"]) == ("log", asked["arm"], "final")
    assert one["replay"][0] == {
        "what": "draw",
        "ok": True,
        "told": "Drawn again from its scores and its seed: the same 2 arms, with the same probability to the"
        " last bit.",
    }
    nowhere = archived.client.get("/v1/console/decisions/0-00000000000ffffffffffffffff")
    assert "neither in the store nor in the Parquet log" in nowhere.json()["detail"]
