"""The Overview's data: of the whole platform, from what is kept, however many decisions there were."""

from __future__ import annotations

from math import inf
from typing import Any

import msgspec
import pytest

from decision_service.console.overview import Overview
from sidecar.contracts import keys
from sidecar.contracts.application import Application
from sidecar.contracts.arm_sums import encode_sums
from sidecar.contracts.earned import BETS, SLOT_MS, encode_bets
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.store import AsyncScripts, connect_async
from sidecar.contracts.traffic import EDGES_MS, MINUTE_MS, of_source, of_time, quantile_ms
from tests.decision_service.platform import another, platform

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
TEN_MILLION = 10_000_000


APPLICATION = Application(name="bench", partitions=2, reward=RewardConfig(horizon_s=60.0))


def now_ms(store) -> int:
    seconds, micros = store.time()
    return seconds * 1000 + micros // 1000


async def look(url: str) -> Any:
    """As it goes over the wire."""
    async with connect_async(url, timeout_s=10.0) as client:
        seen = await Overview(AsyncScripts.on(client), APPLICATION, 50).look()
        return msgspec.json.decode(msgspec.json.encode(seen))


def a_day(store, now: int, decisions: int = TEN_MILLION) -> None:
    """What services, and whoever writes the log, leave of a day of so many decisions."""
    pipe = store.pipeline()
    pipe.hset(keys.answers("bench"), mapping={"model": decisions - 7, "fallback": 7})
    for step, count, key_of, kind in (
        (MINUTE_MS, 180, lambda at: keys.traffic_of_hour("bench", at // HOUR_MS), "minute"),
        (SLOT_MS, 288, lambda at: keys.traffic_of_day("bench", at // DAY_MS), "slot"),
    ):
        for slot in range(now // step - count + 1, now // step + 1):
            some = decisions * step // DAY_MS
            fields = {of_source(slot, one): some // 3 for one in ("model", "pre_policy", "fallback")}
            fields |= {of_time(slot, edge): some // 14 for edge in (*EDGES_MS, float("inf"))}
            pipe.hset(key_of(slot * step), mapping=fields)
            earned = encode_sums([some, some * 0.07, some, some * 0.02])
            where = keys.earned_of_hour if kind == "minute" else keys.earned_of_day
            pipe.hset(
                where("bench", slot * step // (HOUR_MS if kind == "minute" else DAY_MS)), str(slot), earned
            )
    side = [decisions * 0.02] * 3 + [decisions * 0.05] * 3
    bets = encode_bets(decisions, tuple(side), tuple([-one for one in side[:3]] + side[3:]), 1.0)
    for day in (now // DAY_MS - 1, now // DAY_MS):
        pipe.hset(keys.earned_of_day("bench", day), BETS, encode_sums(bets))
    pipe.execute()


async def test_a_new_platform_has_nothing_to_show_and_says_so(store_url):
    """Zeros are zeros, and what is not known is null."""
    seen = await look(store_url)
    assert (seen["application"], seen["decisions"], seen["by_source"]) == ("bench", 0, {})
    assert [seen[name] for name in ("per_s", "backstop_share", "p50_ms", "reward", "reward_before")] == [
        None
    ] * 5
    assert seen["books"] == {"decisions": 0, "rewards": 0}
    assert seen["learner"]["state"] == "none"
    assert len(seen["hour"]["decisions"]) == 60
    assert len(seen["day"]["decisions"]) == 144


def test_decisions_of_every_replica_are_in_it():
    """Each tells the store; whoever is asked has all of them."""
    with platform() as shop, another(shop) as second:
        for client, name in ((shop.client, "a"), (second, "b")):
            for n in range(5):
                body = {"session_id": f"{name}-{n}"}
                assert client.post("/v1/recommendations", json=body).status_code == 201

        def seen() -> Any:
            return second.get("/v1/console/overview").raise_for_status().json()

        shop.service.wait_until(lambda: seen()["decisions"] == 10 == sum(seen()["hour"]["decisions"]))
        told = seen()
        assert told["by_source"] == {"model": 10}
        assert sum(told["day"]["decisions"]) == 10
        assert 0 < told["p50_ms"] <= (inf if told["slow"] else told["p99_ms"])
        assert (told["services"], told["pending"]) == (2, 10)


async def test_a_day_of_ten_million_decisions_is_as_quick_as_an_empty_one(store, store_url):
    """Nothing is scanned: so many commands, whatever they count."""
    now = now_ms(store)
    a_day(store, now)
    store.config_resetstat()
    seen = await look(store_url)
    reads = {name: one["calls"] for name, one in store.info("commandstats").items()}
    assert reads["cmdstat_hgetall"] == 8 + 3 + APPLICATION.partitions
    assert sum(reads.values()) < 40
    assert seen["decisions"] == TEN_MILLION
    assert seen["backstop_share"] == pytest.approx(1 / 3)
    assert seen["reward"]["policy"] == pytest.approx(0.07)
    assert seen["reward"]["control"] == pytest.approx(0.05)
    assert seen["reward"]["lower"] < seen["reward"]["difference"] < seen["reward"]["upper"]
    assert seen["hour"]["reward"][-2] == pytest.approx(0.07)
    assert seen["day"]["control"][10] == pytest.approx(0.05)
    assert (seen["p99_ms"], seen["slow"]) == (None, True)


async def test_a_silent_learner_and_books_that_do_not_balance_are_seen(store, store_url):
    """What ``sidearm status`` says too."""
    now = now_ms(store)
    said = {
        "state": "running",
        "at_ms": now - 60_000,
        "version": 7,
        "age_ms": 500,
        "last_error": "<b>disk</b>",
    }
    store.hset(keys.learner_status("bench"), mapping=said)
    store.hset(keys.Keys("bench", 0).counters, mapping={"dec": 5, "fin": 2})
    seen = await look(store_url)
    assert (seen["learner"]["state"], seen["learner"]["error"]) == ("silent", "<b>disk</b>")
    assert seen["learner"]["weights_age_ms"] >= 60_500
    assert seen["books"] == {"decisions": 3, "rewards": 0}


async def test_what_lies_there_and_is_none_of_ours_is_left_out(store, store_url):
    """A page must not fall over a stranger's field, nor show it."""
    now = now_ms(store)
    minute = now // MINUTE_MS
    strange = {"x": "y", f"{minute}|model": "-", "|": "3", f"{minute}|<b>x</b>": "5", f"{minute}|<nan": "1"}
    store.hset(keys.traffic_of_hour("bench", now // HOUR_MS), mapping=strange)
    store.hset(keys.earned_of_day("bench", now // DAY_MS), mapping={BETS: b"abc", "12": b"", "z": b"z"})
    assert (await look(store_url))["by_source"] == {}


def test_a_quantile_is_between_the_ends_of_its_range():
    """Even within a range; beyond the last end nobody knows."""
    assert quantile_ms({5.0: 100}, 0.5) == 4.0
    assert quantile_ms({float("inf"): 1}, 0.5) is None
    assert quantile_ms({}, 0.5) is None
