"""Foreign bytes in what the service reads: whoever asks for it is told, whoever asks beside it is served."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from sidecar.contracts.ids import partition_of_decision
from sidecar.contracts.keys import Keys
from tests.decision_service.platform import Platform, platform


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform(sidecar=False) as made:
        yield made


def decided(shop: Platform, session: str) -> tuple[str, Keys]:
    decision_id = shop.recommend(session_id=session, decision_id="mine").json()["decision_id"]
    return decision_id, Keys("bench", partition_of_decision(decision_id, 2))


@pytest.mark.parametrize(
    "torn", [b"no bar", b"1700000000000|\xc1", b"\xff", b"1700000000000|", b"1a|\x91\xa1\x80"]
)
async def test_a_torn_decision_is_refused_and_those_beside_it_are_not(shop, torn):
    """Its view is 404, its repeat 409; looked up together with it, another one is there."""
    session = f"t-{torn.hex()}"
    decision_id, keys = decided(shop, session)
    other, _ = decided(shop, session + "x")
    shop.store.set(keys.decision(decision_id), torn)

    headers = {"authorization": f"Bearer {shop.key}"}
    async with httpx.AsyncClient(base_url=shop.url, headers=headers, timeout=30.0) as client:
        asked = [f"/v1/decisions/{i}" for i in (decision_id, other) * 10]
        views = await asyncio.gather(*(client.get(path) for path in asked))

    assert [view.status_code for view in views] == [404, 200] * 10
    assert shop.recommend(session_id=session, decision_id="mine").status_code == 409
    activated = shop.client.post(f"/v1/decisions/{decision_id}/activate", json={"horizon_s": 1})
    assert (activated.status_code, activated.json()["status"]) in [(200, "unknown"), (200, "duplicate")]
    assert shop.reward(decision_id=decision_id, event="purchase", reward_id="r").status_code == 202


@pytest.mark.parametrize("torn", [b"zz", b"\xff\xfe", b"1|2", b"9999999999999999999|1|0||"])
def test_a_torn_reward_is_left_out_of_the_view(shop, torn):
    """Its key is taken all the same."""
    decision_id, keys = decided(shop, f"r-{torn.hex()}")
    shop.store.hset(keys.rewards(decision_id), mapping={b"r": torn, b"\xff": torn})

    again = shop.reward(decision_id=decision_id, event="purchase", reward_id="r").json()
    fresh = shop.reward(decision_id=decision_id, event="purchase", reward_id="r2").json()

    assert (again["status"], fresh["status"]) == ("duplicate", "accepted")
    assert [reward["reward_id"] for reward in shop.decision(decision_id)["rewards"]] == ["r2"]


@pytest.mark.parametrize("torn", [b"", b"zz", b"\xff\xfe", b"0-1|d", b"\n"])
@pytest.mark.parametrize("field", ["last", "k:mine", "w:r"])
def test_a_torn_session_costs_at_most_its_own_memory(shop, field, torn):
    """A reward finds nobody, a key counts as new; nothing fails, and no one else is touched."""
    session = f"s-{field}-{torn.hex()}"
    _, keys = decided(shop, session)
    shop.store.hset(keys.session(session), field, torn)

    assert shop.recommend(session_id=session, decision_id="mine").status_code == 201
    told = shop.reward(session_id=session, event="purchase", reward_id="r")
    assert told.status_code == 202
    assert (
        shop.reward(session_id=session, decision_id="mine", event="purchase", reward_id="q").status_code
        == 202
    )


@pytest.mark.parametrize("torn", [b"", b"x", b"1.5", b"\xff", b"9" * 30])
def test_a_torn_counter_is_an_imbalance_not_a_failure(shop, torn):
    """The figures are there, and say that something is wrong."""
    decided(shop, "counted")
    keys = Keys("bench", 0)
    before = shop.store.hget(keys.counters, "rew_joined") or 0
    shop.store.hset(keys.counters, mapping={"alien": torn, b"\xff": torn})

    assert shop.client.get("/metrics").status_code == 200
    shop.store.hdel(keys.counters, "alien", b"\xff")
    assert (shop.store.hget(keys.counters, "rew_joined") or 0) == before


@pytest.mark.parametrize("torn", [b"", b"soon", b"inf", b"nan", b"-1", b"9" * 40, b"\xff"])
def test_a_torn_guard_of_the_clock_guards_nothing(shop, torn):
    """Deciding goes on, by the store's own clock."""
    _, keys = decided(shop, "clock")
    shop.store.hset(keys.counters, "clock_ms", torn)

    answer = shop.recommend(session_id="clock")

    assert (answer.status_code, shop.store.hget(keys.counters, "clock_ms")[:1]) == (201, b"1")


def test_a_clock_that_jumps_shows_in_the_figures(shop):
    """Ahead of the service's own; or behind what the store said before."""
    _, keys = decided(shop, "clock")
    shop.store.hset(keys.counters, "clock_ms", (shop.store.time()[0] + 7200) * 1000)

    lines = shop.client.get("/metrics").text.splitlines()

    figures = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}
    behind = figures[f'sidearm_store_clock_behind_seconds{{partition="{keys.partition}"}}']
    assert 7000 < behind <= 7200
    assert abs(figures["sidearm_store_clock_ahead_seconds"]) < 60
    shop.store.hdel(keys.counters, "clock_ms")


def test_the_same_reward_key_for_two_decisions_is_two_rewards(shop):
    """A key is unique within its decision; another's key takes nothing away."""
    first, _ = decided(shop, "one")
    second, _ = decided(shop, "two")

    told = [shop.reward(decision_id=i, event="purchase", reward_id="order-1").json() for i in (first, second)]

    assert [one["status"] for one in told] == ["accepted", "accepted"]


def test_a_reward_under_a_key_that_may_not_reward_is_refused_and_changes_nothing(shop):
    """Nobody's key and a foreign one: the same answer, and the decision keeps what it has."""
    decision_id, keys = decided(shop, "guarded")
    body = {"decision_id": decision_id, "event": "purchase", "reward_id": "r"}

    for key in ("Bearer nonsense", f"Bearer {shop.key}x"):
        answer = httpx.post(f"{shop.url}/v1/rewards", json=body, headers={"authorization": key})
        assert answer.status_code == 401
    assert shop.store.hgetall(keys.rewards(decision_id)) == {}


@pytest.mark.parametrize("name", ["3-18bcfe5680000000000000000ff", "ff-18bcfe5680000000000000000ff"])
def test_a_reward_for_a_decision_of_another_application_is_unknown(shop, name):
    """Its partition is none of ours: kept as an orphan, answered as anybody's would be."""
    told = shop.reward(decision_id=name, event="purchase", reward_id="r").json()

    assert (told["status"], told["decision_id"]) == ("unknown", None)
