"""Several slots, sessions that keep their decision, and rewards by session, over real HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sidecar.contracts.slots import slot_event
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw
from tests.decision_service.platform import ARMS, Platform, another, platform
from tests.decision_service.test_service import stored_event

EVERY_ARM = {arm["id"] for arm in ARMS}


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    """Sticky for an hour; rewards by session by arm."""
    with platform(reward='attribution = "arm"', sections="[sessions]\nsticky_s = 3600.0") as made:
        yield made


def test_slots_are_drawn_each_with_its_propensity(shop):
    """As many as asked for, none twice; what is stored draws every one of them again."""
    answer = shop.recommend(session_id="three", limit=3).json()

    shown = [one["arm"] for one in answer["ranking"]]
    assert (len(shown), shown[0]) == (3, answer["arm"])
    assert len(set(shown)) == 3
    event = stored_event(shop, answer)
    for slot, told in enumerate(answer["ranking"]):
        one = slot_event(event, slot)
        pmf = pmf_of_event(one)
        place = draw(pmf, int(one.seed))
        assert (one.arms[place], float(pmf[place])) == (told["arm"], told["probability"])


def test_more_slots_than_arms_show_every_arm(shop):
    """Also a repeat of them."""
    first, again = (shop.recommend(session_id="many", decision_id="k", limit=50).json() for _ in range(2))
    assert {one["arm"] for one in first["ranking"]} == EVERY_ARM
    assert again == {**first, "source": "repeat"}


def test_a_reward_is_of_the_slot_whose_arm_it_names(shop):
    """And of the first, if it names none; the look-up tells them apart."""
    answer = shop.recommend(session_id="bought", limit=3).json()
    first, second, third = (one["arm"] for one in answer["ranking"])
    for n, (arm, value) in enumerate([(second, 2.0), (None, 0.5), (third, 3.0), (second, 1.5)]):
        named = {"arm": arm} if arm else {}
        shop.reward(
            decision_id=answer["decision_id"], event="purchase", reward=value, reward_id=str(n), **named
        )

    found = shop.decision(answer["decision_id"])

    assert (found["arm"], found["reward"]) == (first, 0.5)
    assert [(slot["arm"], slot["reward"]) for slot in found["slots"]] == [(second, 2.0), (third, 3.0)]
    assert [slot["probability"] for slot in found["slots"]] == [
        one["probability"] for one in answer["ranking"][1:]
    ]


def test_a_session_keeps_its_decision(shop):
    """Whatever the context is meanwhile; asked for something else it gets something else."""
    first = shop.recommend(session_id="stays", context={"hour": 9}).json()
    again = shop.recommend(session_id="stays", context={"hour": 10}).json()
    others = [
        shop.recommend(session_id="stays", exclude=["777"]).json(),
        shop.recommend(session_id="stays", limit=2).json(),
        shop.recommend(session_id="stays", decision_id="own").json(),
        shop.recommend(session_id="another").json(),
    ]

    assert again == {**first, "source": "repeat"}
    assert "repeat" not in {other["source"] for other in others}
    assert len({other["decision_id"] for other in [first, *others]}) == 5


def test_a_session_that_asks_twice_at_once_is_given_one_decision(shop):
    """Decided together, the later ones of them are repeats of the first, each beside sessions of its own."""
    asked = [{"session_id": "twin" if n % 2 else f"one-{n}", "context": {"hour": n}} for n in range(12)]
    answer = shop.client.post("/v1/recommendations/batch", json={"requests": asked}).json()
    made = [result["recommendation"] for result in answer["results"]]
    first, *others = (one for one in made if one["session_id"] == "twin")
    assert others == [{**first, "source": "repeat"}] * 5
    assert len({one["decision_id"] for one in made}) == 7


@pytest.mark.slow
def test_whichever_service_is_asked_a_session_keeps_its_decision(shop):
    """By a key or without one, asked twenty times at once of two services: one decision."""
    with another(shop) as other, ThreadPoolExecutor(20) as callers:
        for asked in ({"session_id": "both"}, {"session_id": "both", "decision_id": "k"}):

            def ask(n: int, asked: dict = asked) -> dict:
                body = asked | ({} if "decision_id" in asked else {"context": {"hour": n}})
                return (shop.client, other)[n % 2].post("/v1/recommendations", json=body).json()

            found = list(callers.map(ask, range(20)))
            assert len({one["decision_id"] for one in found}) == 1
            assert Counter(one["source"] for one in found)["repeat"] == 19


def test_a_reward_by_session_finds_the_decision_that_showed_the_arm(shop):
    """In whatever slot; without an arm it is 422, and says what is missing."""
    pair = shop.recommend(session_id="by arm", arms=["sku-1", "sku-2"], limit=2).json()
    last = shop.recommend(session_id="by arm", arms=["777"]).json()
    both = [
        shop.reward(session_id="by arm", arm=arm, event="purchase").json() for arm in ("sku-2", "777", "?")
    ]
    bare = shop.reward(session_id="by arm", event="purchase")

    assert [(one["status"], one["decision_id"]) for one in both] == [
        ("accepted", pair["decision_id"]),
        ("accepted", last["decision_id"]),
        ("unknown", None),
    ]
    assert bare.status_code == 422
    assert bare.json()["errors"][0]["pointer"] == "/arm"
    assert shop.reward(decision_id="of nobody", event="purchase").json()["status"] in ("unknown", "early")


def test_a_reward_by_session_reaches_all_its_decisions():
    """Each once; the receipt names them, the newest first."""
    with platform(sidecar=False, reward='attribution = "all"') as made:
        ids = [made.recommend(session_id="all").json()["decision_id"] for _ in range(3)]
        receipt = made.reward(session_id="all", event="purchase", reward_id="order").json()
        again = made.reward(session_id="all", event="purchase", reward_id="order").json()
        rewards = [made.decision(decision_id)["reward"] for decision_id in ids]

    assert (receipt["status"], receipt["decision_ids"]) == ("accepted", sorted(ids, reverse=True))
    assert (again["status"], again["decision_ids"]) == ("duplicate", receipt["decision_ids"])
    assert rewards == [1.0, 1.0, 1.0]
