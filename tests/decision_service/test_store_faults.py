"""The store black-holed, losing replies, slow, full, dead: answers go on, and each is in the log once."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from decision_service.cli.store import start_store
from sidecar.contracts.books import books, counters_of
from sidecar.contracts.keys import Keys
from tests.decision_service.platform import Platform, platform
from tests.waiting import until

SHORT = {"SIDEARM_DECISION_SERVICE_DEADLINE_MS": "200", "SIDEARM_DECISION_SERVICE_STORE_TIMEOUT_MS": "600"}
"""For a store that is away, and yet long enough for scores on a busy machine."""


def metric(shop: Platform, name: str) -> float:
    lines = shop.client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def ask_many(shop: Platform, count: int, at_once: int = 8) -> list[dict]:
    """``count`` decisions; every answer is a 201."""
    return asyncio.run(_ask_many(shop, count, at_once))


async def _ask_many(shop: Platform, count: int, at_once: int) -> list[dict]:
    left = iter(range(count))
    async with httpx.AsyncClient(base_url=shop.url, headers=shop.client.headers, timeout=30.0) as client:

        async def caller() -> list[dict]:
            found = []
            for number in left:
                body = {"session_id": f"s-{number}"}
                response = await client.post("/v1/recommendations", json=body)
                assert response.status_code == 201, response.text
                found.append(response.json())
            return found

        rounds = await asyncio.gather(*(caller() for _ in range(at_once)))
    return [answer for found in rounds for answer in found]


def drained(shop: Platform) -> bool:
    return metric(shop, "sidearm_spool_records") == 0


def logged_once(shop: Platform, answers: list[dict]) -> None:
    """Each is pending in the store, as it was answered, and nothing else is."""
    until(lambda: drained(shop))
    pending, balance = 0, 0
    for partition in range(2):
        keys = Keys("bench", partition)
        due, orphans = shop.store.zcard(keys.due), shop.store.zcard(keys.orphans)
        found = books(counters_of(shop.store.hgetall(keys.counters)), due, orphans)
        pending, balance = pending + due, balance + abs(found.decisions) + abs(found.rewards)
    assert (pending, balance) == (len(answers), 0)
    for answer in answers:
        found = shop.decision(answer["decision_id"])
        assert (found["arm"], found["probability"]) == (answer["arm"], answer["probability"])


def test_a_black_holed_store_costs_the_deadline_at_first_and_then_nothing():
    """The breaker opens; what was answered meanwhile reaches the store when it is back, each once."""
    with platform(environ=SHORT, proxied=True) as shop:
        shop.proxy.hold_replies()
        answers = ask_many(shop, 60)
        assert metric(shop, 'sidearm_breaker_open{dependency="store"}') == 1
        assert {(answer["source"], answer["logged"]) for answer in answers} == {("model", True)}
        assert metric(shop, "sidearm_spool_records") == 60
        keyed = {"requests": [{"session_id": "twice", "decision_id": "k"}] * 3}
        found = shop.client.post("/v1/recommendations/batch", json=keyed).json()["results"]
        first, *again = (result["recommendation"] for result in found)
        assert again == [{**first, "source": "repeat"}] * 2

        shop.proxy.drop_held()

        logged_once(shop, [*answers, first])
        until(lambda: metric(shop, 'sidearm_breaker_open{dependency="store"}') == 0)


@pytest.mark.slow
def test_replies_that_are_lost_and_connections_that_are_cut_double_nothing():
    """A fifth of either: the store has heard, the service has not, and tells it again."""
    with platform(environ=SHORT, proxied=True) as shop:
        shop.proxy.lose_replies = shop.proxy.reset = 0.2
        answers = ask_many(shop, 200)
        rewards = [
            shop.reward(decision_id=answer["decision_id"], event="purchase", reward_id="r")
            for answer in answers[:20]
        ]
        shop.proxy.lose_replies = shop.proxy.reset = 0.0
        assert shop.proxy.lost > 0
        assert shop.proxy.resets > 0

        logged_once(shop, answers)
        assert {response.json()["status"] for response in rewards} <= {"accepted", "duplicate"}
        for answer in answers[:20]:
            assert [r["value"] for r in shop.decision(answer["decision_id"])["rewards"]] == [1.0]


@pytest.mark.slow
def test_a_store_too_slow_for_the_deadline_is_written_to_behind_the_answers():
    """Each reply comes after 300 ms of a deadline of 200: the spool takes it, and the store has it soon."""
    with platform(environ=SHORT, proxied=True) as shop:
        shop.proxy.delay_s = 0.3
        answers = ask_many(shop, 60)

        until(lambda: drained(shop))
        shop.proxy.delay_s = 0.0
        logged_once(shop, answers)


def test_a_service_killed_with_a_full_spool_leaves_nothing_behind():
    """kill -9 while the store is away: the next service sends what the last one wrote down."""
    with platform(environ=SHORT) as shop:
        shop.store_server.kill()
        answers = ask_many(shop, 30)
        asked = {"session_id": "mine", "decision_id": "k"}
        answers.append(shop.recommend(**asked).json())
        reward = shop.reward(**asked, event="purchase", reward_id="r").json()
        assert (reward["decision_id"], reward["spooled"]) == (answers[-1]["decision_id"], True)
        assert shop.service is not None
        shop.service.kill()
        shop.client.close()
        with start_store(shop.data):
            shop.start_service()

            logged_once(shop, answers)
            found = shop.decision(answers[-1]["decision_id"])
            assert [reward["reward_id"] for reward in found["rewards"]] == ["r"]
            assert shop.recommend(**asked).json()["decision_id"] == answers[-1]["decision_id"]
            assert list(shop.data.spool("bench").glob("*/*.spool")) == []


@pytest.mark.slow
def test_a_reward_by_session_means_the_decision_before_it():
    """Also when both were spooled, and the session decided again after the reward."""
    with platform(environ=SHORT) as shop:
        shop.store_server.kill()
        first = shop.recommend(session_id="s").json()
        assert shop.reward(session_id="s", event="purchase", reward_id="r").status_code == 202
        second = shop.recommend(session_id="s").json()
        with start_store(shop.data):
            until(lambda: drained(shop))
            rewards = [shop.decision(one["decision_id"])["rewards"] for one in (first, second)]

    assert [len(found) for found in rewards] == [1, 0]


@pytest.mark.slow
def test_a_key_that_was_used_before_the_store_went_away_keeps_its_decision():
    """This process has answered it, and knows; another cannot. Both decisions were shown: both stand."""
    with platform(environ=SHORT) as shop:
        asked = {"session_id": "s", "decision_id": "k"}
        before = shop.recommend(**asked).json()
        shop.store_server.kill()
        during = shop.recommend(**asked).json()
        assert shop.service is not None
        shop.service.kill()
        shop.client.close()
        shop.start_service()
        unknowing = shop.recommend(**asked).json()
        told = shop.reward(decision_id=unknowing["decision_id"], event="purchase", reward_id="r").json()
        with start_store(shop.data):
            logged_once(shop, [before, unknowing])
            after = shop.recommend(**asked).json()
            superseded = metric(shop, 'sidearm_spool_drained_total{kind="decision",status="superseded"}')
            rewards = [shop.decision(one["decision_id"])["rewards"] for one in (before, unknowing)]

    assert during["decision_id"] == before["decision_id"] == after["decision_id"]
    assert during["source"] == "repeat"
    assert unknowing["decision_id"] != before["decision_id"]
    assert (told["spooled"], superseded) == (True, 1)
    assert [len(found) for found in rewards] == [0, 1]


@pytest.mark.slow
def test_a_session_keeps_in_an_outage_what_it_was_given_and_keeps_it_after():
    """Given before it, or in it."""
    with platform(environ=SHORT, sections="[sessions]\nsticky_s = 3600.0") as shop:
        old = [shop.recommend(session_id="old").json()["decision_id"]]
        shop.store_server.kill()
        old.append(shop.recommend(session_id="old", context={"hour": 7}).json()["decision_id"])
        new = [shop.recommend(session_id="new").json()["decision_id"] for _ in range(2)]
        with start_store(shop.data):
            until(lambda: drained(shop))
            old.append(shop.recommend(session_id="old").json()["decision_id"])
            new.append(shop.recommend(session_id="new").json()["decision_id"])

    assert len(set(old)) == len(set(new)) == 1


@pytest.mark.slow
def test_an_activation_waits_for_the_store_too():
    """A deferred decision that was shown while the store was away counts."""
    with platform(environ=SHORT) as shop:
        made = shop.recommend(session_id="s", deferred=True).json()
        shop.store_server.kill()
        path = f"/v1/decisions/{made['decision_id']}/activate"
        receipt = shop.client.post(path).json()
        assert (receipt["status"], receipt["spooled"]) == ("activated", True)
        assert shop.client.post("/v1/decisions/nobody/activate").json()["status"] == "unknown"
        with start_store(shop.data):
            until(lambda: drained(shop))
            assert shop.decision(made["decision_id"])["state"] == "pending"


def test_a_full_store_sheds_decisions_and_keeps_rewards():
    """At its memory limit: the answer says that it is not logged, the reward waits for room."""
    with platform() as shop:
        made = shop.recommend().json()
        shop.store.config_set("maxmemory", 1)
        try:
            shed = shop.recommend().json()
            receipt = shop.reward(decision_id=made["decision_id"], event="purchase", reward_id="r").json()
        finally:
            shop.store.config_set("maxmemory", 0)

        assert (shed["logged"], shed["reward_until"]) == (False, None)
        assert (receipt["status"], receipt["spooled"]) == ("accepted", True)
        until(lambda: drained(shop))
        assert len(shop.decision(made["decision_id"])["rewards"]) == 1


@pytest.mark.slow
def test_a_service_that_starts_without_its_store_answers_and_is_ready_after_a_while():
    """Nothing is known to it but its own files: that is enough, and the store hears of it later."""
    with platform(sidecar=False, environ=SHORT) as shop:
        assert shop.service is not None
        shop.service.stop()
        shop.client.close()
        shop.store_server.kill()
        shop.start_service()  # waits for readiness

        answers = ask_many(shop, 10)
        assert {answer["logged"] for answer in answers} == {True}
        with start_store(shop.data):
            logged_once(shop, answers)


@pytest.mark.slow
def test_a_full_spool_answers_without_logging_and_refuses_rewards():
    """And says so: 503 with Retry-After for what would be lost."""
    environ = {**SHORT, "SIDEARM_DECISION_SERVICE_SPOOL_BYTES": "4000"}
    with platform(environ=environ) as shop:
        shop.store_server.kill()
        logged = [answer["logged"] for answer in ask_many(shop, 30, at_once=1)]
        refused = [shop.reward(session_id="s", event="view", reward_id=str(n)) for n in range(20)][-1]

    assert logged[0] is True
    assert logged[-1] is False
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:sidearm:problem:SpoolFailed"
    assert int(refused.headers["retry-after"]) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("poison", [b"not a decision", json.dumps({"session_id": 7}).encode()])
def test_what_the_store_will_never_take_stands_in_nobodys_way(poison):
    """It is kept aside and counted; what came after it is sent."""
    from sidecar.contracts.spooled import Spooled, encode_spooled

    with platform(environ=SHORT) as shop:
        assert shop.service is not None
        shop.service.stop()
        shop.client.close()
        folder = shop.data.spool("bench") / "1-gone"
        folder.mkdir(parents=True)
        (folder / "lock").touch()
        kinds = ("decision", "reward", "activation")
        now_ms = 4_000_000_000_000  # not too old
        content = b"".join(encode_spooled(Spooled(kind, now_ms, poison)) for kind in kinds)
        good = Spooled("reward", now_ms, b'{"session_id": "s", "event": "view", "reward_id": "r"}')
        (folder / "00000001.spool").write_bytes(content + encode_spooled(good))

        shop.start_service()

        until(lambda: metric(shop, 'sidearm_spool_drained_total{kind="reward",status="unknown"}') == 1)
        until(lambda: drained(shop))
        assert metric(shop, "sidearm_spool_drained_total") == 4
        assert (shop.data.spool("bench") / "refused.spool").exists()


@pytest.mark.slow
def test_what_is_older_than_the_store_remembers_is_not_sent_again():
    """It might count twice: it is kept aside."""
    from sidecar.contracts.spooled import Spooled, encode_spooled

    with platform() as shop:
        assert shop.service is not None
        shop.service.stop()
        shop.client.close()
        folder = shop.data.spool("bench") / "1-gone"
        folder.mkdir(parents=True)
        (folder / "lock").touch()
        old = Spooled("reward", 1, b'{"session_id": "s", "event": "view", "reward_id": "r"}')
        (folder / "00000001.spool").write_bytes(encode_spooled(old))

        shop.start_service()

        until(lambda: metric(shop, 'sidearm_spool_drained_total{kind="reward",status="too_old"}') == 1)
        until(lambda: drained(shop))
