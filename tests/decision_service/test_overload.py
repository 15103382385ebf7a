"""When not every decision can be logged: a share is, each says with which probability; all are answered."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_service.overload import ALIVE_MS, Limits, Load, load_of, share_of
from sidecar.contracts.events import decode_decision
from sidecar.contracts.ids import new_decision_id, partition_of_session
from sidecar.contracts.keys import Keys, learner_status
from sidecar.contracts.scripts.decide import split_stored
from sidecar.policy.sampling import draw, is_kept, seed_of
from tests.decision_service.platform import Platform, platform
from tests.waiting import until

LIMITS = Limits(max_pending=1000, backlog_s=30.0, least_share=0.05)
loads = st.builds(
    Load,
    pending=st.tuples(st.integers(0, 2000)),
    memory=st.floats(0, 2),
    backlog_s=st.floats(0, 1e6),
)


@given(loads, loads)
def test_more_load_never_logs_more(one, other):
    """In each of the three, and the share is a probability; 0 is for a full store only."""
    larger = Load(
        tuple(map(max, one.pending, other.pending)),
        max(one.memory, other.memory),
        max(one.backlog_s, other.backlog_s),
    )
    shares = [share_of(load, 0, LIMITS) for load in (one, larger)]

    assert 1.0 >= shares[0].value >= shares[1].value >= 0.0
    for load, share in zip((one, larger), shares, strict=True):
        assert (share.value == 0.0) == (load.memory >= 0.85)
        assert share.value == 0.0 or share.value >= LIMITS.least_share
        assert bool(share.reason) == (share.value < 1.0)


@pytest.mark.parametrize(
    ("load", "share"),
    [
        (Load(), (1.0, "")),
        (Load((600,)), (1.0, "")),
        (Load((800,)), (0.525, "pending")),
        (Load((5000,)), (0.05, "pending")),
        (Load((0,), memory=0.7), (1.0, "")),
        (Load((0,), memory=0.849), (0.05, "memory")),
        (Load((0,), memory=0.85), (0.0, "memory")),
        (Load((0,), backlog_s=30.0), (1.0, "")),
        (Load((0,), backlog_s=165.0), (0.525, "backlog")),
        (Load((0,), backlog_s=1e9), (0.05, "backlog")),
        (Load((800,), memory=0.6, backlog_s=400.0), (0.05, "backlog")),
    ],
)
def test_the_share_falls_from_yellow_to_red(load, share):
    """Pending from 60 % of the cap, memory from 70 % to 85 % of the limit, backlog from once to ten times."""
    found = share_of(load, 0, LIMITS)
    assert (pytest.approx(found.value, abs=0.01), found.reason) == share


def test_a_learner_that_is_gone_is_not_behind():
    """What waits for it lies in the store, which has limits of its own; a limit of 0 thins nothing either."""
    now_ms, behind = 10**12, b"900000"
    memory = {"used_memory": 5, "maxmemory": 0}
    alive, gone = (
        load_of((now_ms // 1000, 0), memory, (b"%d" % (now_ms - age), behind), 3)
        for age in (ALIVE_MS, ALIVE_MS + 1000)
    )
    never_there = load_of((now_ms // 1000, 0), memory, (None, None), 3)

    assert [alive.backlog_s, gone.backlog_s, never_there.backlog_s] == [900.0, 0.0, 0.0]
    assert alive.memory == 0.0
    assert share_of(alive, 0, Limits(1000, 0.0, 0.05)).value == 1.0


@pytest.mark.parametrize("said", [b"", b"soon", b"inf", b"-1", b"\xff", b"9" * 40])
def test_foreign_bytes_in_the_learners_status_are_nobodys_word(said):
    """They neither thin the log nor end the watch."""
    memory = {"used_memory": 5, "maxmemory": 10}
    for learner in ((said, b"900000"), (b"1000000000000", said)):
        assert load_of((10**9, 0), memory, learner, 3) == Load((3,), 0.5, 0.0, 5, 10)


SECRET = b"sixteen or more bytes"
IDS = [new_decision_id(0, 1_700_000_000_000 + n, n * 7919) for n in range(20_000)]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_as_many_are_kept_as_the_share_says_whatever_arm_was_drawn(share):
    """Within five standard errors, among those of each arm too: the two draws are independent."""
    pmf = np.array([0.5, 0.3, 0.2])
    arms = np.array([draw(pmf, seed_of(i, SECRET)) for i in IDS])
    kept = np.array([is_kept(i, share, SECRET) for i in IDS])

    for arm in range(3):
        shown = kept[arms == arm]
        assert abs(shown.mean() - share) < 5 * math.sqrt(share * (1 - share) / len(shown))


def test_an_estimate_from_the_thinned_log_is_unbiased():
    """Shares that change with the load, which the rewards follow: each row counts 1/share times.

    The plain mean of what was kept is far off, since better rewards came when less was kept.
    """
    rng = np.random.default_rng(7)
    hour = np.arange(len(IDS)) / len(IDS)
    rewards, shares = (rng.random(len(IDS)) < 0.1 + 0.6 * hour).astype(float), 1.0 - 0.9 * hour
    kept = np.array([is_kept(i, share, SECRET) for i, share in zip(IDS, shares, strict=True)])

    weights = kept / shares
    error = math.sqrt(((weights * rewards) ** 2).sum()) / len(IDS)
    assert abs((weights * rewards).mean() - rewards.mean()) < 2 * error
    assert abs(rewards[kept].mean() - rewards.mean()) > 5 * error


@given(st.sampled_from(IDS), st.floats(0, 1), st.floats(0, 1))
def test_what_is_kept_at_a_share_is_kept_at_a_larger_one(decision_id, one, other):
    """A retry while the load falls is not left out after all."""
    small, large = sorted((one, other))
    assert is_kept(decision_id, large, SECRET) or not is_kept(decision_id, small, SECRET)


TOP = "[model]\nmax_pending = 40\n"
QUICK = {"SIDEARM_DECISION_SERVICE_OVERLOAD_LOOK_S": "0.01"}


@pytest.fixture(scope="module")
def made() -> Iterator[Platform]:
    with platform(sidecar=False, top=TOP, environ=QUICK) as one:
        yield one


@pytest.fixture
def shop(made: Platform) -> Platform:
    """Nothing is pending in it, and nobody has told of a learner."""
    made.store.delete(learner_status("bench"), *made.store.keys("{bench.*"), "{bench.0}:due")
    until(lambda: shares_of(made) == [1.0, 1.0])
    return made


def shares_of(shop: Platform) -> list[float]:
    lines = shop.client.get("/metrics").text.splitlines()
    return [float(line.rpartition(" ")[2]) for line in lines if line.startswith("sidearm_log_share{")]


def memory_of(shop: Platform) -> list[float]:
    """Used, and the limit."""
    lines = shop.client.get("/metrics").text.splitlines()
    return [float(line.rpartition(" ")[2]) for line in lines if line.startswith("sidearm_store_memory_")]


def shed_of(shop: Platform) -> dict[str, float]:
    lines = shop.client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("sidearm_decisions_shed_total{")]
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in found}


def stored_of(shop: Platform, answer: dict):
    keys = Keys("bench", partition_of_session(answer["session_id"], 2))
    stored = shop.store.get(keys.decision(answer["decision_id"]))
    return stored and decode_decision(split_stored(stored).payload)


def say(shop: Platform, backlog_ms: int) -> None:
    """As the learner does."""
    at_ms = shop.store.time()[0] * 1000
    shop.store.hset(learner_status("bench"), mapping={"at_ms": at_ms, "backlog_ms": backlog_ms})


def test_while_the_learner_is_behind_a_share_is_logged(shop):
    """Each with its probability; the rest is answered all the same, and says that it is not logged."""
    say(shop, 165_000)
    until(lambda: shares_of(shop) == [pytest.approx(0.525, abs=0.01)] * 2)

    answers = [shop.recommend(session_id=f"s-{n}").json() for n in range(60)]

    logged = [answer for answer in answers if answer["logged"]]
    assert 10 < len(logged) < 60
    for answer in answers:
        event = stored_of(shop, answer)
        assert (event is not None) == answer["logged"] == (answer["reward_until"] is not None)
        if event:
            assert 0.05 <= event.inclusion_probability < 0.7
            secret = bytes.fromhex(shop.data.draw_secret.read_text())
            assert is_kept(event.decision_id, event.inclusion_probability, secret)
    assert shed_of(shop)["SHED"] >= 60 - len(logged)
    say(shop, 0)
    until(lambda: shop.recommend(session_id="after").json()["logged"])


def test_a_store_that_fills_up_logs_less_then_nothing_then_everything_again(shop):
    """Red at 85 % of its memory; and at its limit the store itself refuses. A repeat stays a repeat."""
    first = shop.recommend(session_id="rep", decision_id="mine").json()
    assert first["logged"]
    used = shop.store.info("memory")["used_memory"]
    shop.store.config_set("maxmemory", int(used / 0.9))
    until(lambda: shares_of(shop) == [0.0, 0.0])
    used_bytes, limit_bytes = memory_of(shop)
    assert limit_bytes == int(used / 0.9)
    assert used_bytes > 0.85 * limit_bytes

    answers = [shop.recommend(session_id=f"s-{n}").json() for n in range(20)]
    again = shop.recommend(session_id="rep", decision_id="mine").json()

    assert {answer["logged"] for answer in answers} == {False}
    assert again == {**first, "source": "repeat"}
    shop.store.config_set("maxmemory", 1)
    full = shop.recommend(session_id="full")
    assert (full.status_code, full.json()["logged"]) == (201, False)
    assert shed_of(shop)["FULL"] >= 1
    shop.store.config_set("maxmemory", 0)
    until(lambda: shares_of(shop) == [1.0, 1.0])
    assert memory_of(shop)[1] == 0.0
    assert shop.recommend(session_id="over").json()["logged"]


def test_pending_decisions_are_bounded(shop):
    """Towards the cap ever fewer are logged, and never more than the cap."""
    answers = [shop.recommend(session_id=f"s-{n}").json() for n in range(150)]

    pending = [shop.store.zcard(Keys("bench", p).due) for p in range(2)]
    assert max(pending) <= 40
    assert sum(answer["logged"] for answer in answers) == sum(pending)
    shares = [event.inclusion_probability for a in answers if (event := stored_of(shop, a))]
    assert max(shares) == 1.0
    assert min(shares) < 0.7


def test_a_reward_by_session_does_not_go_to_the_decision_before_the_one_that_was_shed(shop):
    """Otherwise what is logged would earn what is not."""
    kept = shop.recommend(session_id="mixed").json()
    shop.store.config_set("maxmemory", int(shop.store.info("memory")["used_memory"] / 0.9))
    until(lambda: shares_of(shop) == [0.0, 0.0])
    shed = shop.recommend(session_id="mixed").json()
    shop.store.config_set("maxmemory", 0)
    assert (kept["logged"], shed["logged"]) == (True, False)

    receipt = shop.reward(session_id="mixed", event="purchase", reward_id="r").json()

    assert (receipt["status"], receipt["decision_id"]) == ("early", shed["decision_id"])
    assert shop.decision(kept["decision_id"])["rewards"] == []


def test_a_request_that_is_repeated_has_no_second_chance(shop):
    """The coin belongs to the client's key: what was left out stays out, while the load stays the same."""
    say(shop, 10**7)
    until(lambda: all(share < 0.06 for share in shares_of(shop)))
    fates = {
        tuple(shop.recommend(session_id=f"s-{n}", decision_id="k").json()["logged"] for _ in range(3))
        for n in range(40)
    }
    assert (False, False, False) in fates
    assert fates <= {(False, False, False), (True, True, True)}
