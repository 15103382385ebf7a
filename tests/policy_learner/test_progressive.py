"""Progressive metrics: what they say, that parts add up, and that a rebuild says the same."""

from __future__ import annotations

import random

import numpy as np
import pytest

from policy_learner.join.catalogues import Catalogues
from policy_learner.learning.progressive import SLICES, ProgressiveMetrics, Window, auc_of, figures_of
from policy_learner.learning.slices import Rows, Slice, add, slice_of
from policy_learner.learning.teaching import Teaching
from policy_learner.learning.trainer import Trainer
from policy_learner.learning.training import Training
from policy_learner.learning.vw_format import Foreseen, packed
from sidecar.contracts.application import Application, Exploration
from sidecar.contracts.catalogue import encode_arms
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.scripts.publish import Batch
from sidecar.policy.exploration import pmf_of
from tests.parity.generated import PLAIN_ARM_IDS, PLAIN_NAMES, arms, decision, features

EXPLORATION = Exploration(epsilon=0.2, control_share=0.02)
N_ARMS = 5


def rows_of(rng, count, propensity=None):
    """Scores, rewards that follow them a little, and arms drawn from a pmf that is known."""
    scores = np.sort(rng.normal(size=(count, N_ARMS)).astype(np.float32))[:, ::-1]
    shown = rng.integers(N_ARMS, size=count)
    value = scores[np.arange(count), shown].astype(float)
    reward = (rng.random(count) < 1 / (1 + np.exp(-value))).astype(float)
    rows = Rows(
        Foreseen(value.tolist(), [packed((0.0 - one).tolist()) for one in scores]),
        reward.tolist(),
        [propensity or 1 / N_ARMS] * count,
        [1.0] * count,
    )
    return scores, shown, value, reward, rows


def exact_auc(value, reward):
    high, low = value[reward > 0][:, None], value[reward <= 0][None, :]
    return float(((high > low) + (high == low) / 2).mean())


def test_the_figures_are_what_their_names_say():
    """Against the definitions, written out."""
    scores, shown, value, reward, rows = rows_of(np.random.default_rng(1), 700)
    figures = figures_of(slice_of(rows, EXPLORATION))
    weight = pmf_of(np.ascontiguousarray(scores), EXPLORATION)[np.arange(700), shown] * N_ARMS
    snips = (weight * reward).sum() / weight.sum()
    assert figures.examples == 700
    assert figures.squared_error == pytest.approx(((value - reward) ** 2).mean())
    sure = np.clip(value, 0.001, 0.999)
    assert figures.log_loss == pytest.approx(-np.log(np.where(reward > 0, sure, 1 - sure)).mean())
    assert figures.reward == pytest.approx(reward.mean())
    assert figures.reward_error == pytest.approx(reward.std() / np.sqrt(700))
    assert figures.ips == pytest.approx((weight * reward).mean())
    assert figures.ips_error == pytest.approx((weight * reward).std() / np.sqrt(700))
    assert figures.snips == pytest.approx(snips)
    assert figures.snips_error == pytest.approx(
        np.sqrt((weight**2 * (reward - snips) ** 2).sum()) / weight.sum()
    )


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("decimals", [1, 9])
def test_the_auc_is_as_near_to_the_exact_one_as_it_says(scale, decimals):
    """Whatever the scale, ties or none: the histogram states its own error, and that is small."""
    rng = np.random.default_rng(2)
    value = np.round(rng.normal(size=2_000), decimals).astype(np.float32) * np.float32(scale)
    reward = (rng.random(2_000) < 0.5 + 0.2 * np.sign(value)).astype(float)
    rows = Rows(
        Foreseen(value.tolist(), [packed([0.0])] * 2_000), reward.tolist(), [0.5] * 2_000, [1.0] * 2_000
    )
    auc, within = auc_of(slice_of(rows, EXPLORATION))
    assert abs(auc - exact_auc(value, reward)) <= within + 1e-12
    assert within < (0.02 if decimals == 1 else 0.003)


def test_snips_finds_the_value_of_the_policy():
    """Drawn uniformly, the policy's worth is within 5 standard errors of the truth (once in 1.7 million)."""
    rng = np.random.default_rng(3)
    scores, _, _, _, rows = rows_of(rng, 50_000)
    truth = (pmf_of(np.ascontiguousarray(scores), EXPLORATION) / (1 + np.exp(-scores.astype(float)))).sum(1)
    figures = figures_of(slice_of(rows, EXPLORATION))
    assert abs(figures.snips - truth.mean()) < 5 * figures.snips_error
    assert abs(figures.ips - truth.mean()) < 5 * figures.ips_error
    assert figures.snips_error < 0.01


def test_an_overloaded_log_is_weighed_by_what_it_left_out():
    """Half the purchases-free decisions dropped, with their probability written down: the same mean."""
    reward = [1.0] * 100 + [0.0] * 450
    rows = Rows(
        Foreseen([0.5] * 550, [packed([-0.5, 0.0])] * 550), reward, [0.5] * 550, [1.0] * 100 + [0.5] * 450
    )
    assert figures_of(slice_of(rows, EXPLORATION)).reward == pytest.approx(0.1)


def test_slices_add_up():
    """The slice of all is the sum of the slices of parts; of graded rewards there is no log loss."""
    rng, total = np.random.default_rng(4), Slice()
    *_, rows = rows_of(rng, 600)
    rows.reward[77] = 2.5
    for start in range(0, 600, 150):
        some = slice(start, start + 150)
        part = Foreseen(rows.foreseen.shown[some], rows.foreseen.costs[some])
        add(
            total,
            slice_of(Rows(part, rows.reward[some], rows.propensity[some], rows.inclusion[some]), EXPLORATION),
        )
    whole, parts = figures_of(slice_of(rows, EXPLORATION)), figures_of(total)
    assert parts.log_loss is None
    for name in whole.__struct_fields__:
        assert getattr(parts, name) == pytest.approx(getattr(whole, name)), name


def test_a_window_forgets_and_is_bounded():
    """Ten slices, whatever comes; what comes too late is not counted."""
    window = Window()
    for number in [*range(100), 80, 120, 115]:
        window.add(number, Slice(examples=1))
    assert window.total().examples == 2
    assert len(window.slices) <= SLICES


def test_nothing_and_infinities_say_nothing():
    """No examples, one class only, an overflow: null, and no exception."""
    assert figures_of(Slice()).examples == 0
    rows = Rows(Foreseen([float("inf")], [packed([float("-inf"), 0.0])]), [1e9], [1e-300], [1.0])
    figures = figures_of(slice_of(rows, EXPLORATION))
    assert (figures.examples, figures.auc, figures.ips, figures.squared_error) == (1, None, None, None)


CATALOGUE = arms(random.Random(5), PLAIN_NAMES, PLAIN_ARM_IDS)
APPLICATION = Application(name="shop", partitions=1, model=ModelConfig(bits=12))


def batches(count):
    """Batches of 130 decisions, twenty seconds apart."""
    rng = random.Random(5)
    for n in range(count):
        events = []
        for _ in range(130):
            event = decision(rng, features(rng, PLAIN_NAMES), CATALOGUE)
            events.append(Teaching(event, float(rng.random() < 0.3)))
        at = 1_700_000_000_000 + 20_000 * n
        yield Batch(0, f"{at}-0", f"{at}-129"), events


def trained(some, saved=None):
    """A training, after a restart from what another one saved."""
    catalogues = Catalogues(lambda _: encode_arms(CATALOGUE))
    if saved is None:
        training = Training(APPLICATION, catalogues)
    else:
        state = Trainer.restore(APPLICATION.model, saved.trainer.serialize())
        training = Training(APPLICATION, catalogues, state, saved.trained, saved.examples)
        training.progressive.restore(saved.progressive.state())
    for batch, events in some:
        assert training.train(batch, events).examples == len(events)
    return training


def test_a_rebuild_and_a_restart_have_the_same_figures():
    """To the last bit: they follow from the log, wherever a checkpoint was, whoever looked in between."""
    every = list(batches(40))
    straight = trained(every)
    assert straight.progressive.figures().by_time.examples < 40 * 130
    for stop in (1, 17, 39):
        first = trained(every[:stop])
        first.progressive.figures()
        assert trained(every[stop:], first).progressive.figures() == straight.progressive.figures()
        assert trained(every[stop:], first).progressive.state() == straight.progressive.state()


def test_a_state_of_another_kind_is_no_reason_not_to_start():
    """Figures are no weights."""
    metrics = ProgressiveMetrics(APPLICATION.exploration)
    for state in (b"", b"\xc1", b"\x80"):
        metrics.restore(state)
        assert metrics.figures().by_count.examples == 0
