"""Decisions and rewards over real HTTP, with the real sidecar and the real store."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from sidecar.contracts.application import Exploration
from sidecar.contracts.books import books, counters_of
from sidecar.contracts.catalogue import decode_arms
from sidecar.contracts.events import decode_decision
from sidecar.contracts.ids import partition_of_session
from sidecar.contracts.keys import Keys, catalogues
from sidecar.contracts.scripts.decide import split_stored
from sidecar.policy.exploration import pmf_of
from sidecar.policy.sampling import draw, seed_of
from tests.decision_service.platform import ARMS, Platform, platform


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform() as made:
        yield made


def stored_event(shop: Platform, answer: dict):
    keys = Keys("bench", partition_of_session(answer["session_id"], 2))
    return decode_decision(split_stored(shop.store.get(keys.decision(answer["decision_id"])))[1])


def test_an_answer_has_the_documented_shape(shop):
    """201, every field of it, and a probability that is the drawn arm's."""
    response = shop.recommend(context={"device": "ios", "hour": 21, "returning": True}, limit="all")

    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert set(answer) == {
        "decision_id", "session_id", "arm", "probability", "ranking", "source", "policy", "model_version",
        "logged", "reward_until",
    }  # fmt: skip
    ranked = {entry["arm"]: entry["probability"] for entry in answer["ranking"]}
    assert set(ranked) == {arm["id"] for arm in ARMS}
    assert ranked[answer["arm"]] == answer["probability"]
    assert math.isclose(sum(ranked.values()), 1.0)
    assert (answer["source"], answer["policy"], answer["logged"]) == ("model", "champion", True)


def test_the_ranking_is_what_is_to_be_shown(shop):
    """One arm unless more are asked for: the one that was drawn, whatever its score."""
    answer = shop.recommend().json()
    assert [entry["arm"] for entry in answer["ranking"]] == [answer["arm"]]
    assert answer["ranking"][0]["probability"] == answer["probability"]
    assert len(shop.recommend(limit=3).json()["ranking"]) == 3


def test_the_stored_event_replays_to_the_same_pmf_and_arm(shop):
    """What is in the store when the answer arrives is enough to draw again, to the last bit."""
    answer = shop.recommend(arms=["sku-1", {"id": "new", "features": {"price": 9}}, "777"]).json()

    event = stored_event(shop, answer)
    pmf = pmf_of(np.frombuffer(event.scores, dtype="<f4"), event.exploration)
    index = draw(pmf, int(event.seed))
    secret = bytes.fromhex(shop.data.draw_secret.read_text())
    assert int(event.seed) == seed_of(event.decision_id, secret)
    assert (event.arms[index], float(pmf[index])) == (answer["arm"], answer["probability"])
    assert event.given_arms == {"new": {"price": 9.0}}
    assert event.outcomes == {}


def test_excluded_arms_are_never_drawn_and_the_log_says_why(shop):
    """The pmf stands over the eligible arms only."""
    answers = [
        shop.recommend(session_id=f"x-{n}", exclude=["sku-1", "sku-2"], limit="all").json() for n in range(20)
    ]

    assert {entry["arm"] for answer in answers for entry in answer["ranking"]} == {"a/b %2F", "777"}
    assert set(stored_event(shop, answers[0]).excluded) == {"sku-1", "sku-2"}


def test_the_same_key_again_gives_the_same_decision(shop):
    """As a repeat, and the body is compared: other spaces are the same, another context is 409."""
    first = shop.recommend(session_id="rep", decision_id="mine", context={"a": 1, "b": 2}).json()
    again = shop.recommend(session_id="rep", context={"b": 2, "a": 1.0}, decision_id="mine").json()
    other = shop.recommend(session_id="rep", decision_id="mine", context={"a": 2})

    assert first["source"] == "model"
    assert again == {**first, "source": "repeat"}
    assert other.status_code == 409
    assert other.json()["type"] == "urn:sidearm:problem:KeyReused"


async def test_concurrent_repeats_get_one_decision(shop):
    """Twenty copies of one request at once: one decision, one answer, one row."""
    headers = {"authorization": f"Bearer {shop.key}"}
    body = {"session_id": "storm", "decision_id": "once"}
    async with httpx.AsyncClient(base_url=shop.url, headers=headers, timeout=30.0) as client:
        answers = await asyncio.gather(*(client.post("/v1/recommendations", json=body) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({(a.json()["decision_id"], a.json()["arm"], a.json()["probability"]) for a in answers}) == 1
    assert sorted(a.json()["source"] for a in answers) == ["model"] + ["repeat"] * 19


def test_a_decision_is_found_with_its_rewards(shop):
    """Context, pmf, arm, probability, version, and what came of it."""
    context = {"device": "ios", "hour": 21.0, "returning": True}
    answer = shop.recommend(session_id="look", unit_id="u-7", context=context).json()
    shop.reward(decision_id=answer["decision_id"], event="view", reward_id="v1")
    shop.reward(decision_id=answer["decision_id"], event="purchase", reward=2.5, reward_id="p1", arm="sku-1")

    found = shop.decision(answer["decision_id"])

    assert found["context"] == context
    assert found["outcomes"] == dict.fromkeys(context, "given")
    assert (found["arm"], found["probability"]) == (answer["arm"], answer["probability"])
    assert (found["unit_id"], found["state"], found["source"]) == ("u-7", "pending", "model")
    assert found["reward_until"] == answer["reward_until"]
    assert [entry["arm"] for entry in found["arms"]] == [arm["id"] for arm in ARMS]
    assert math.isclose(sum(entry["probability"] for entry in found["arms"]), 1.0)
    assert [(r["reward_id"], r["value"], r["event"]) for r in found["rewards"]] == [
        ("v1", 0.0, "view"),
        ("p1", 2.5, "purchase"),
    ]
    assert found["reward"] == 2.5


@pytest.mark.parametrize(
    "decision_id", ["0-18bcfe5680000000000000000ff", "order-77", quote("a/b c", safe="")]
)
def test_a_decision_that_is_not_there_is_404(shop, decision_id):
    """Ours but never made, a client's own, and one that holds an escaped slash."""
    response = shop.client.get(f"/v1/decisions/{decision_id}")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_a_reward_has_its_fate(shop):
    """Accepted, duplicate (also with another value), over the limit, early: 202 each."""
    decision_id = shop.recommend(session_id="fate").json()["decision_id"]

    statuses = [
        shop.reward(decision_id=decision_id, event="purchase", reward_id="r1"),
        shop.reward(decision_id=decision_id, event="purchase", reward_id="r1"),
        shop.reward(decision_id=decision_id, event="purchase", reward=3.0, reward_id="r1"),
        *(shop.reward(decision_id=decision_id, event="view", reward_id=f"v{n}") for n in range(4)),
        shop.reward(decision_id="1-18bcfe5680000000000000000ff", event="view"),
    ]

    assert [response.status_code for response in statuses] == [202] * 8
    assert [response.json()["status"] for response in statuses] == [
        "accepted", "duplicate", "duplicate", "accepted", "accepted", "accepted", "over_limit", "early",
    ]  # fmt: skip
    assert shop.decision(decision_id)["reward"] == 1.0


def test_a_reward_by_session_reaches_its_last_decision(shop):
    """And its retry goes there too, although the session went on."""
    first = shop.recommend(session_id="walk").json()["decision_id"]
    second = shop.recommend(session_id="walk").json()["decision_id"]

    went = shop.reward(session_id="walk", event="purchase", reward_id="o1").json()
    third = shop.recommend(session_id="walk").json()["decision_id"]
    retried = shop.reward(session_id="walk", event="purchase", reward_id="o1").json()

    assert (went["status"], went["decision_id"]) == ("accepted", second)
    assert (retried["status"], retried["decision_id"]) == ("duplicate", second)
    assert len({first, second, third}) == 3


def test_a_reward_by_the_clients_own_key_reaches_that_decision(shop):
    """Not the last one; and an unknown key is unknown, not somebody else's."""
    mine = shop.recommend(session_id="own", decision_id="k1").json()["decision_id"]
    shop.recommend(session_id="own")

    known = shop.reward(session_id="own", decision_id="k1", event="purchase", reward_id="o1").json()
    nobody = shop.reward(session_id="own", decision_id="k2", event="purchase", reward_id="o2").json()

    assert (known["status"], known["decision_id"]) == ("accepted", mine)
    assert (nobody["status"], nobody["decision_id"]) == ("unknown", None)


def test_a_reward_for_an_unknown_session_is_kept(shop):
    """202 unknown, and it lies in the late stream."""
    keys = Keys("bench", partition_of_session("nobody", 2))
    before = shop.store.xlen(keys.late)

    assert shop.reward(session_id="nobody", event="view").json()["status"] == "unknown"
    assert shop.store.xlen(keys.late) == before + 1


def test_the_idempotency_key_stands_in_for_the_reward_id(shop):
    """Of one reward, and, numbered, of a batch."""
    decision_id = shop.recommend(session_id="idem").json()["decision_id"]
    header = {"Idempotency-Key": "abc"}
    batch = {"rewards": [{"decision_id": decision_id, "event": "view"}] * 2}

    assert shop.reward(header, decision_id=decision_id, event="view").json()["reward_id"] == "abc"
    assert shop.reward(header, decision_id=decision_id, event="view").json()["status"] == "duplicate"
    receipts = [shop.client.post("/v1/rewards/batch", json=batch, headers=header).json() for _ in range(2)]
    assert [r["status"] for r in receipts[0]["rewards"]] == ["accepted", "accepted"]
    assert [r["status"] for r in receipts[1]["rewards"]] == ["duplicate", "duplicate"]


def test_a_batch_is_taken_whole_or_not_at_all(shop):
    """One bad reward among three: 422 that names it, and the books know of none."""
    decision_id = shop.recommend(session_id="whole").json()["decision_id"]
    good = {"decision_id": decision_id, "event": "purchase", "reward_id": "g"}
    body = {"rewards": [good, {**good, "event": "theft"}, {**good, "reward": 99}]}

    response = shop.client.post("/v1/rewards/batch", json=body)

    assert response.status_code == 422
    assert [e["pointer"] for e in response.json()["errors"]] == ["/rewards/1/event", "/rewards/2/reward"]
    assert shop.decision(decision_id)["rewards"] == []


def test_a_thousand_rewards_go_in_one_call(shop):
    """To many decisions, over all partitions."""
    ids = [shop.recommend(session_id=f"many-{n}").json()["decision_id"] for n in range(10)]
    rewards = [{"decision_id": ids[n % 10], "event": "view", "reward_id": f"m{n // 10}"} for n in range(1000)]

    receipts = shop.client.post("/v1/rewards/batch", json={"rewards": rewards}).json()["rewards"]

    assert [r["status"] for r in receipts] == ["accepted"] * 40 + ["over_limit"] * 960


def test_a_thousand_rewards_by_the_clients_own_keys_go_in_one_call(shop):
    """They are looked up together: one by one they would take every connection that deciding needs."""
    answer = shop.recommend(session_id="named", decision_id="mine").json()
    rewards = [{"session_id": f"n{n}", "decision_id": "mine", "event": "view"} for n in range(999)]
    rewards.append({"session_id": "named", "decision_id": "mine", "event": "view", "reward_id": "the last"})

    receipts = shop.client.post("/v1/rewards/batch", json={"rewards": rewards})

    assert receipts.status_code == 202, receipts.text
    assert [receipt["status"] for receipt in receipts.json()["rewards"]] == ["unknown"] * 999 + ["accepted"]
    assert receipts.json()["rewards"][-1]["decision_id"] == answer["decision_id"]


async def test_hundreds_of_readers_at_once_are_all_answered(shop):
    """And a decision among them is made: readers share round trips."""
    made = [shop.recommend(session_id=f"read-{n}").json()["decision_id"] for n in range(4)]
    headers, limits = {"authorization": f"Bearer {shop.key}"}, httpx.Limits(max_connections=400)
    async with httpx.AsyncClient(base_url=shop.url, headers=headers, limits=limits, timeout=60) as client:
        reads = [client.get(f"/v1/decisions/{made[n % 4]}") for n in range(400)]
        decided = client.post("/v1/recommendations", json={"session_id": "s"})
        *found, answer = await asyncio.gather(*reads, decided)

    assert [one.status_code for one in found] == [200] * 400
    assert [one.json()["decision_id"] for one in found] == made * 100
    assert answer.status_code == 201


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
async def test_hundreds_of_probes_leave_deciding_alone(shop, path):
    """They need no key, so they must not be able to take the store's connections."""
    limits = httpx.Limits(max_connections=430)
    headers = {"authorization": f"Bearer {shop.key}"}
    async with httpx.AsyncClient(base_url=shop.url, headers=headers, limits=limits, timeout=60) as client:
        probes = [client.get(path) for _ in range(400)]
        decisions = [client.post("/v1/recommendations", json={"session_id": f"p{n}"}) for n in range(30)]
        answers = await asyncio.gather(*probes, *decisions)

    assert [one.status_code for one in answers] == [200] * 400 + [201] * 30


def test_the_catalogue_is_in_the_store(shop):
    """Learner and replay find the arms under the version that events name."""
    event = stored_event(shop, shop.recommend().json())

    arms = decode_arms(shop.store.hget(catalogues("bench"), event.catalogue))

    assert [arm.id for arm in arms] == [arm["id"] for arm in ARMS]


def test_a_cold_start_is_uniform_and_says_so(shop):
    """Before the first publication every arm is alike."""
    answer = shop.recommend(session_id="cold", limit="all").json()

    assert answer["model_version"] == 0
    assert {round(entry["probability"], 12) for entry in answer["ranking"]} == {0.25}
    assert shop.decision(answer["decision_id"])["cold"] is True


def test_the_figures_are_there_and_the_books_balance(shop):
    """Decisions by source, answers by status, latency, imbalance 0."""
    shop.recommend(session_id="m")

    lines = shop.client.get("/metrics").text.splitlines()

    figures = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}
    assert figures['sidearm_decisions_total{source="model"}'] >= 1
    assert figures['sidearm_answers_total{endpoint="recommend",status="201"}'] >= 1
    assert figures['sidearm_request_seconds_count{endpoint="recommend"}'] >= 1
    assert {value for name, value in figures.items() if name.startswith("sidearm_books_imbalance")} == {0.0}
    counters = [counters_of(shop.store.hgetall(Keys("bench", p).counters)) for p in range(2)]
    pending = [shop.store.zcard(Keys("bench", p).due) for p in range(2)]
    awaited = [shop.store.zcard(Keys("bench", p).orphans) for p in range(2)]
    assert all(books(*one).balanced for one in zip(counters, pending, awaited, strict=True))


def test_the_documentation_describes_every_endpoint(shop):
    """OpenAPI 3.1 with schemas and examples; every refusal is a problem."""
    document = shop.client.get("/openapi.json").json()

    operations = {op["operationId"]: op for path in document["paths"].values() for op in path.values()}
    assert set(operations) == {
        "recommend", "reward", "reward_batch", "activate", "decision", "livez", "readyz", "metrics",
        "explain", "exploration", "explore", "arms", "change_arms", "put_arm", "patch_arm", "retire_arm",
        "models", "deploy_model", "change_model", "undeploy_model", "promote_model",
        "recommend_batch",
    }  # fmt: skip
    assert "RecommendationRequest" in document["components"]["schemas"]
    for operation in operations.values():
        for status, response in operation["responses"].items():
            assert (int(status) >= 400) == ("application/problem+json" in response["content"])
    example = operations["recommend"]["requestBody"]["content"]["application/json"]["example"]
    assert shop.client.post("/v1/recommendations", json=example).status_code == 201
    assert shop.client.get("/docs").status_code == 200


def test_exploration_is_the_applications(shop):
    """Epsilon and control share as configured, in the log."""
    event = stored_event(shop, shop.recommend().json())

    assert event.exploration == Exploration("epsilon_greedy", 0.1, 0.01)


def test_sum_requires_an_id_for_each_reward():
    """Where rewards are summed, a repeat without a name would count twice: 422."""
    with platform(sidecar=False, aggregation="sum") as shop:
        refused = shop.reward(session_id="s", event="purchase")
        by_header = shop.reward({"Idempotency-Key": "k"}, session_id="s", event="purchase")

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/reward_id"
    assert by_header.status_code == 202
