"""The shop's world: one seed makes it, and what is said to be true of it is what happens in it."""

import asyncio
import math
from collections import Counter
from itertools import islice

import pytest

from decision_service.sources.constant import Fixed
from examples.shop import features
from examples.shop.simulator import (
    BANDS,
    FOLDER,
    HORIZON_S,
    LATE_SHARE,
    REPEATED_SHARE,
    best_single_value,
    best_value,
    buys,
    expected_reward,
    load_arms,
    policy_value,
    sessions,
    shoppers,
    uniform_value,
)
from examples.shop.truth import scored_arms
from sidecar.contracts.application import load_application
from sidecar.contracts.arm_features import column_of

ARMS = load_arms()
WORLD = list(sessions(seed=3, first=0, count=20_000))
FIVE_SIGMA = 5.0
"""A true statement fails with a chance below 1e-6; the seed is fixed, so it does not flicker."""


def within(found: float, truth: float, n: int) -> bool:
    return abs(found - truth) <= FIVE_SIGMA * math.sqrt(truth * (1.0 - truth) / n)


def test_the_same_seed_makes_the_same_world():
    """Sessions depend on the seed and their number alone, wherever one begins."""
    assert list(sessions(3, 100, 50)) == WORLD[100:150]
    assert list(sessions(4, 100, 50)) != WORLD[100:150]


def test_shares_of_shoppers_sum_to_one_and_are_what_comes():
    """The enumeration is the distribution of the sessions."""
    shares = dict(shoppers())
    assert math.isclose(math.fsum(shares.values()), 1.0)
    seen = Counter(session.shopper.segment for session in WORLD)
    for segment in {shopper.segment for shopper in shares}:
        truth = math.fsum(share for shopper, share in shares.items() if shopper.segment == segment)
        assert within(seen[segment] / len(WORLD), truth, len(WORLD)), segment


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.id)
def test_purchases_are_as_frequent_as_expected_reward_says(arm):
    """Per product, over 20,000 sessions, within five standard errors."""
    truth = math.fsum(share * expected_reward(shopper, arm) for shopper, share in shoppers())
    found = sum(buys(session, arm) for session in WORLD) / len(WORLD)
    assert within(found, truth, len(WORLD))


def test_purchases_depend_on_the_context_as_expected_reward_says():
    """Per segment and category too: the interaction is where the gain is."""
    for arm in islice(ARMS, 0, None, 4):
        for segment in ("student", "parent", "guest"):
            here = [session for session in WORLD if session.shopper.segment == segment]
            truth = math.fsum(expected_reward(session.shopper, arm) for session in here) / len(here)
            found = sum(buys(session, arm) for session in here) / len(here)
            assert within(found, truth, len(here)), (arm.id, segment)


def test_the_best_product_depends_on_the_context():
    """No product is best for everybody, and ignoring the context gives most of the gain away."""
    favourites = {max(ARMS, key=lambda arm: expected_reward(who, arm)).id for who, _ in shoppers()}
    uniform, single, best = uniform_value(ARMS), best_single_value(ARMS), best_value(ARMS)
    assert len(favourites) >= 10
    assert uniform < single < uniform + 0.25 * (best - uniform)


def test_no_policy_is_worth_more_than_the_best():
    """The value of always showing one product equals the enumeration and stays below the best."""
    always = [0.0] * len(ARMS)
    always[7] = 1.0
    value = policy_value(lambda _: always, ARMS)
    assert math.isclose(value, math.fsum(share * expected_reward(who, ARMS[7]) for who, share in shoppers()))
    assert value < best_value(ARMS)


def test_delays_are_distributed_as_stated():
    """The known share is late; all others come well inside the horizon; the known share is sent twice."""
    late = sum(session.delay_s > HORIZON_S for session in WORLD)
    assert within(late / len(WORLD), LATE_SHARE, len(WORLD))
    assert not any(1.5 < session.delay_s < 2.5 for session in WORLD)
    twice = sum(session.repeat_after_s is not None for session in WORLD)
    assert within(twice / len(WORLD), REPEATED_SHARE, len(WORLD))


def test_the_horizon_is_that_of_the_application():
    """The simulator and app.toml speak of the same two seconds."""
    assert load_application(FOLDER).reward.horizon_s == HORIZON_S


IDS = tuple(arm.id for arm in ARMS)


@pytest.fixture
async def _time_stands_still(monkeypatch):
    """Nobody waits here: a machine that holds the test up for a moment makes no fetch late."""
    loop = asyncio.get_running_loop()
    now_s = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now_s)


in_no_time = pytest.mark.usefixtures("_time_stands_still")


def asked(unit_id: str, hour: object, clients: dict[str, object], candidates: tuple[str, ...] = IDS):
    """What the service hands into the graph."""
    known = {arm.id: arm.features for arm in ARMS}
    arms = {
        "candidates": candidates,
        "arms": candidates,
        "arm_features": {**{arm: {} for arm in candidates}, **known},
    }
    return {"unit_id": unit_id, "hour": hour, **arms, **clients}


@in_no_time
async def test_the_graph_finds_what_the_simulator_knows():
    """Segment and band equal those that the purchase depends on; features of products those of the truth."""
    goals = (*features.first_look, *features.goals, *features.arm_goals)
    async with features.clients() as clients:
        for session in WORLD[:300]:
            given = asked(session.unit_id, float(session.shopper.hour), clients)
            found = await features.graph.resolve(goals, given=given, deadline=5.0)
            assert found["segment"] == session.shopper.segment
            assert found["hour_band"] == BANDS[session.shopper.hour // 6]
            assert [found[rule] for rule in features.first_look] == [{}, {}, {}]
            columns = {goal: column_of(found[goal]) for goal in features.arm_goals}
            expected = scored_arms(session.shopper.segment, IDS)
            assert {goal: column for goal, column in columns.items() if column} == expected


@in_no_time
async def test_a_guest_costs_no_look_at_customers():
    """The side of the branch that is not taken is not fetched, nor is the key it would be fetched with."""
    async with features.clients() as clients:
        found = await features.graph.resolve(
            features.goals, given=asked("nobody", 12.0, clients), deadline=5.0
        )
        known = await features.graph.resolve(
            features.goals, given=asked("u-001", 12.0, clients), deadline=5.0
        )
    statuses = [found.outcomes[node].status for node in ("login", "customer_id", "customer")]
    assert statuses == ["ok", "not_needed", "not_needed"]
    assert [known.outcomes[node].status for node in ("customer_id", "customer", "guest")] == [
        "ok",
        "ok",
        "not_needed",
    ]


@in_no_time
async def test_what_a_customer_is_cannot_be_had_makes_a_guest_that_is_told_as_a_fallback():
    """The shop sells on without its customer database, and the log does not claim to have seen a guest."""
    async with features.clients() as clients:
        given = {**asked("u-001", 12.0, clients), "customers": Fixed({})}
        found = await features.graph.resolve(("segment", "in_budget"), given=given, deadline=5.0)
    assert (found["segment"], found["in_budget"]) == ("guest", [None] * len(ARMS))
    assert found.degraded("segment") == ("customer",)


@in_no_time
async def test_the_first_look_takes_out_what_cannot_be_sold():
    """Sold out, of a merchant who is closed, or for a child the garden; what nobody knows of stays."""
    candidates = (*IDS, "skates-acme-high", "lamp", "unheard of")
    async with features.clients() as clients:
        given = asked("u-child", 12.0, clients, candidates)
        given["arm_features"] = {
            **given["arm_features"],
            "lamp": {"brand": "attic"},
            "unheard of": {"brand": "?"},
        }
        found = await features.graph.resolve(features.first_look, given=given, deadline=5.0)
    assert found["sold_out"] == {"skates-acme-high": "sold out"}
    assert found["closed"] == {"lamp": "The Attic is closed"}
    garden = [arm for arm in IDS if arm.startswith("garden")]
    assert found["not_for_children"] == dict.fromkeys(garden, "not for children")


@in_no_time
async def test_merchants_are_asked_for_in_one_call():
    """Each brand once, whatever the number of products; one that is not registered is known not to be."""
    calls = []

    class Counted(Fixed):
        async def many(self, keys):
            calls.append(list(keys))
            return await super().many(keys)

    async with features.clients() as clients:
        given = {**asked("u-000", 12.0, clients), "register": Counted({"acme": features.Merchant("Acme")})}
        found = await features.graph.resolve("closed", given=given, deadline=5.0)
    assert calls == [["acme", "north"]]
    assert found["closed"] == {}
    assert found["sellers"] == [features.Merchant("Acme"), None]
    assert found.whole


@in_no_time
async def test_an_unknown_hour_gives_no_band():
    """A context without an hour of the day loses a feature, not the answer."""
    async with features.clients() as clients:
        for hour in (None, 24.0, -1.0, "late"):
            given = asked("nobody", hour, clients)
            found = await features.graph.resolve(features.goals, given=given, deadline=5.0)
            assert (found["segment"], found["hour_band"]) == ("guest", None)
