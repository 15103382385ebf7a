"""Target policies: their probabilities over the arms of logged decisions."""

from __future__ import annotations

import numpy as np
import pytest

from offline_eval.batches import read_batches
from offline_eval.dataset import open_log
from offline_eval.engine import connect
from offline_eval.errors import BadCandidate
from offline_eval.target_policy import Logged, Table, Uniform, epsilon_greedy, greedy
from sidecar.contracts.application import Exploration
from sidecar.contracts.events import decode_decision
from sidecar.policy.exploration import pmf_of
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import scores_of_event
from tests.offline_eval.logs import ARMS, catalogue, row, simulated_rows, weights, write_log


def batch_of(folder, rows, policy, **keys):
    log = open_log(connect(), write_log(folder, rows))
    named = {f"key_{policy.name}": policy.key}
    (batch,) = read_batches(log, "", named, policy.needs_events, 1_000)
    return batch


@pytest.fixture
def some_weights():
    """Weights that tell all arms apart, and depend on the context."""
    random = np.random.default_rng(1)
    return weights(dict(enumerate(random.normal(size=1024).astype(np.float32))))


def test_uniform_shares_among_the_eligible_arms_of_each_row(tmp_path):
    """Rows with two and four arms: halves and quarters."""
    rows = [row(0, pmf=None), row(1, arms=ARMS[:2], propensity=0.5)]
    batch = batch_of(tmp_path, rows, Uniform())

    pmf = Uniform().pmf(batch)

    assert pmf.tolist() == [0.25] * 4 + [0.5] * 2
    assert Uniform().chosen(batch, pmf).tolist() == [0.25, 0.5]


def test_the_logger_keeps_its_propensity_to_the_last_bit(tmp_path):
    """Not the pmf's entry: the whole procedure's probability may be another."""
    rows = [row(0, propensity=0.1 + 0.2), row(1, pmf=None, arm="blue", arm_index=2)]
    batch = batch_of(tmp_path, rows, Logged())

    pmf = Logged().pmf(batch)

    assert Logged().chosen(batch, pmf).tolist() == [0.1 + 0.2, 0.25]
    assert pmf[:4].tolist() == [0.25] * 4
    assert np.isnan(pmf[4:]).all()


def test_a_scored_candidate_equals_the_serving_pipeline_to_the_last_bit(tmp_path, some_weights):
    """Greedy and epsilon on the log's decisions: what sidecar.policy answers, bit for bit."""
    rows = simulated_rows(50, seed=2)
    policy = epsilon_greedy(some_weights, 0.2)
    batch = batch_of(tmp_path, rows, policy)
    events = [decode_decision(one["event"]) for one in rows]

    found = policy.pmf(batch).reshape(50, 4)

    for event, pmf in zip(events, found, strict=True):
        scores = scores_of_event(event, catalogue(), some_weights, ArmTables())
        assert pmf.tolist() == pmf_of(scores, Exploration("epsilon_greedy", 0.2, 0.0)).tolist()
    assert len({tuple(pmf) for pmf in found}) > 1


def test_greedy_is_certain_and_ties_share(tmp_path, some_weights):
    """One arm gets everything; without weights all are alike."""
    rows = simulated_rows(20, seed=3)
    certain = greedy(some_weights)
    batch = batch_of(tmp_path, rows, certain)

    assert set(certain.pmf(batch).tolist()) == {0.0, 1.0}
    assert set(greedy(weights()).pmf(batch).tolist()) == {0.25}


def test_a_table_looks_up_by_key_and_keeps_to_eligible_arms(tmp_path):
    """A distribution per slot; arms that are not eligible lose their share to the others."""
    table = Table("t", {"0": {"red": 0.5, "blue": 0.5}, "1": {"red": 0.2, "green": 0.2, "grey": 0.6}}, "slot")
    rows = [row(0), row(1, slot=1), row(2, arms=ARMS[:2], slot=1, propensity=0.5)]

    pmf = table.pmf(batch_of(tmp_path, rows, table))

    assert pmf.tolist() == pytest.approx([0.5, 0, 0.5, 0, 0.2, 0.2, 0, 0.6, 0.5, 0.5])


def test_a_table_by_context_takes_numbers_however_they_are_written(tmp_path):
    """The log says 1.0, the table says 1."""
    table = Table("t", {"1": {"red": 1.0}, "web": {"blue": 1.0}}, "context.where")
    rows = [row(i, context=f'{{"where":{value}}}') for i, value in enumerate(["1.0", "1", '"web"'])]

    pmf = table.pmf(batch_of(tmp_path, rows, table)).reshape(3, 4)

    assert pmf.argmax(axis=1).tolist() == [0, 0, 2]


def test_a_table_says_nothing_of_what_it_does_not_list(tmp_path):
    """Another key, or no listed arm among the eligible: not known, so that the row is counted as such."""
    table = Table("t", {"0": {"grey": 1.0}}, "slot")
    rows = [row(0, slot=7), row(1, arms=ARMS[:2], propensity=0.5)]

    assert np.isnan(table.pmf(batch_of(tmp_path, rows, table))).all()


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ({"red": 1.5, "blue": -0.5}, r"must lie in \[0, 1\]"),
        ({"red": 0.5}, "sum to 0.5, not to 1"),
        ({"red": float("nan")}, r"must lie in \[0, 1\]"),
        ({"red": 1.0, "blue": 0.5}, "sum to 1.5, not to 1"),
        ({}, "sum to 0, not to 1"),
    ],
)
def test_a_table_that_is_no_distribution_is_refused(probabilities, message):
    """Negative, too much, too little, no number, nothing."""
    with pytest.raises(BadCandidate, match=message):
        Table("t", {"": probabilities})


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan")])
def test_epsilon_outside_its_range_is_refused(epsilon):
    """Legal are 0 to 1."""
    with pytest.raises(BadCandidate, match="legal are 0 to 1"):
        epsilon_greedy(weights(), epsilon)
