"""What the policy earned beside drawing evenly, kept by whoever writes the log: against that log."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from policy_learner.archive.earnings import Earnings
from policy_learner.archive.rows import DECISIONS
from policy_learner.promotion.ledger import span_of
from sidecar.contracts import keys
from sidecar.contracts.application import Application
from sidecar.contracts.earned import BETS, Earned, decode_bets, decode_earned
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.store import Scripts
from sidecar.policy.evidence import REACHES, Sums, lower_bound
from tests.policy_learner.logs import FIRST_DAY, ms
from tests.policy_learner.logs import Archiver as Log
from tests.policy_learner.test_arm_sums import HERE
from tests.policy_learner.walking import rows, steps, stop
from tests.policy_learner.world import World

APPLICATION = Application(name="x", reward=RewardConfig(default=0.0, events={"purchase": 1.0}))


def table_of(tmp_path, changes):
    """Rows of one file; each draws from two arms, evenly but for some columns."""
    log = Log(tmp_path)
    usual = {"source": "model", "arm_index": 0, "propensity": 0.5, "pmf": [0.5, 0.5], "deterministic": False}
    made = [log.row(0, f"{ms(0, n)}-0") | usual | change for n, change in enumerate(changes)]
    return pa.Table.from_pylist(made, schema=DECISIONS)


def told(store, table, earnings=None, position="9-0"):
    call = (earnings or Earnings(APPLICATION)).call_of(0, position, table)
    if call is not None:
        Scripts.on(store).run(call)
    day = store.hgetall(keys.earned_of_day("x", FIRST_DAY))
    return decode_earned(day), decode_bets(day.get(BETS.encode()))


def total(slots):
    columns = [(one.decisions, one.reward, one.compared, one.gain) for one in slots.values()]
    return Earned(*np.sum(columns, axis=0).tolist()) if columns else Earned()


def test_the_gain_is_the_estimate_by_propensities(store, tmp_path):
    """Drawn with 0.8 and 0.2: what the first arm earned counts 1 - 0.5/0.8, the second 1 - 0.5/0.2."""
    table = table_of(
        tmp_path,
        [
            {"reward": 1.0, "propensity": 0.8, "pmf": [0.8, 0.2]},
            {"reward": 1.0, "propensity": 0.2, "pmf": [0.8, 0.2], "arm_index": 1},
            {"reward": 0.0, "propensity": 0.8, "pmf": [0.8, 0.2]},
        ],
    )
    slots, bets = told(store, table)
    found = total(slots)
    assert (found.decisions, found.reward, found.compared) == (3, 2, 3)
    assert found.gain == pytest.approx((1 - 0.5 / 0.8) + (1 - 0.5 / 0.2))
    assert (bets.count, bets.width) == (3, 1)
    assert bets.gain[2] == pytest.approx(found.gain) == pytest.approx(-bets.loss[2])


def test_only_what_a_model_drew_says_something(store, tmp_path):
    """Not what a rule or the backstop answered, nobody saw, has no reward, or is the second of a page."""
    others = [
        {"source": "fallback"},
        {"source": "pre_policy", "deterministic": True, "propensity": 1.0},
        {"activated": False},
        {"reward": None},
        {"slot": 1},
        {"pmf": None},
        {"pmf": [1.0], "propensity": 1.0},
    ]
    slots, bets = told(store, table_of(tmp_path, others))
    assert (slots, bets.count) == ({}, 0)
    slots, bets = told(store, table_of(tmp_path, [*others, {"reward": 1.0}, {"pmf": [0.9, 0.1]}]))
    assert total(slots).decisions == 2
    assert (total(slots).compared, bets.count) == (1, 1)  # the other's propensity is not its pmf's


def test_a_file_counts_once_and_the_next_is_added(store, tmp_path):
    """By the position of its last row; the baseline is what was earned before."""
    earnings, table = Earnings(APPLICATION), table_of(tmp_path, [{"reward": 1.0}, {"reward": 0.0}])
    once = told(store, table, earnings, "5-0")
    assert told(store, table, earnings, "5-0") == once
    slots, bets = told(store, table, earnings, "6-0")
    assert (total(slots).decisions, bets.count) == (4, 4)


def test_minutes_and_ten_minutes_add_up(store, tmp_path):
    """Both expire; a page reads a few of them."""
    slots, _ = told(store, table_of(tmp_path, [{"reward": 1.0}] * 5))
    hours = store.keys("{x}:earned:h:*")
    minutes = {key: one for hour in hours for key, one in decode_earned(store.hgetall(hour)).items()}
    assert total(minutes) == total(slots) == Earned(5, 5, 5, 0)
    assert all(store.pttl(key) > 0 for key in [*hours, keys.earned_of_day("x", FIRST_DAY)])


def test_very_many_arms_are_compared_in_part(store, tmp_path, monkeypatch):
    """Evenly spaced: what is counted of each is still all of them."""
    monkeypatch.setattr("policy_learner.archive.earnings._MOST_CELLS", 8)
    slots, bets = told(store, table_of(tmp_path, [{"reward": 1.0}] * 20))
    assert (total(slots).decisions, total(slots).compared, bets.count) == (20, 4, 4)


def test_a_better_policy_is_told_from_its_control_share(store, tmp_path):
    """One arm earns three times as much and is drawn nine times of ten: the interval leaves zero."""
    rng, changes = np.random.default_rng(3), []
    for _ in range(3000):
        arm = int(rng.random() < 0.1)
        reward = float(rng.random() < (0.1 if arm else 0.3))
        changes.append(
            {"arm_index": arm, "pmf": [0.9, 0.1], "propensity": 0.1 if arm else 0.9, "reward": reward}
        )
    slots, bets = told(store, table_of(tmp_path, changes))
    half, found = len(REACHES), total(slots)
    low = lower_bound(Sums(int(bets.count), list(bets.gain[:half]), list(bets.gain[half:])), 0.025)
    high = -lower_bound(Sums(int(bets.count), list(bets.loss[:half]), list(bets.loss[half:])), 0.025)
    truth = (0.9 * 0.3 + 0.1 * 0.1) - (0.3 + 0.1) / 2
    assert 0 < low < truth < high
    assert found.gain / found.compared == pytest.approx(truth, abs=0.03)


def test_the_learner_keeps_it_as_it_writes_the_log(store, data_folder):
    """Nothing but what is in the log."""
    world = World(store, data_folder, 2, HERE)
    learner = world.learner()
    world.shop(40)
    steps(learner)
    stop(learner)
    days = [decode_earned(store.hgetall(key)) for key in store.keys("{world}:earned:d:*")]
    log = [row for row in rows(world) if row["source"] == "model" and not row["deterministic"]]
    assert sum(total(day).decisions for day in days) == len(log) > 0
    assert sum(total(day).reward for day in days) == pytest.approx(sum(row["reward"] for row in log))


def test_the_span_is_that_of_the_contests():
    """One unit for all evidence of an application."""
    assert span_of(APPLICATION).width == 1.0
