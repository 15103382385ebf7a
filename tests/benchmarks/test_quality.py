"""The benchmark of learning: both sides are what they say, and the interval is as wide as it must be."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from benchmarks.quality.drift import Drift
from benchmarks.quality.regret import mean_of, ratio_of
from benchmarks.quality.suite import MOST, Regret, drift_figure, figure_of, run
from benchmarks.quality.worlds import WORLDS
from benchmarks.quality.yardstick import Yardstick, options_of


def in_order(world):
    """One partition: what is learnt keeps the order in which it was decided."""
    return world._replace(application=msgspec.structs.replace(world.application, partitions=1))


@pytest.mark.parametrize("name", ["breast_cancer", "shop"])
def test_in_the_same_order_both_sides_lose_the_same(store, tmp_path, name):
    """Same rounds, luck, options, delay: the order within a batch is all that the two could differ in."""
    one = run(in_order(WORLDS[name]())._replace(length=400), store, tmp_path / "run", seed=5)
    assert one.theirs > 20
    assert one.ours == pytest.approx(one.theirs, rel=1e-4)


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_is_the_same_every_time_and_tells_the_truth(name):
    """Rounds are a function of the seed; what is heard earns on average no more than what is true."""
    world = WORLDS[name]()
    rounds = list(world.rounds(3, 300))
    assert rounds == list(world.rounds(3, 300)) != list(world.rounds(4, 300))
    arms = len(world.catalogue.arms)
    assert all(len(one.expected) == len(one.heard) == arms for one in rounds)
    # Sums of 300 rounds of 20 arms with one luck each (Hoeffding: misses with a chance of 1e-6).
    heard, expected = (np.mean([one[side] for one in rounds]) for side in (3, 2))
    assert heard - expected < np.sqrt(np.log(1e6) / (2 * 300))


def test_the_yardstick_explores_as_much_as_ours_does_in_all():
    """Ours has a control share beside its epsilon; without the same share the ratio would be of that."""
    world = WORLDS["shop"]()
    (one,) = world.rounds(1, 1)
    explores = world.application.exploration
    uniform = explores.control_share + (1 - explores.control_share) * explores.epsilon
    assert float(options_of(world)[3]) == pytest.approx(uniform, abs=1e-12)
    model = Yardstick(world)
    for _ in range(5):
        model.learn(one._replace(heard=(1.0,) * 20), 7, 0.05)
    pmf = model.pmf(one)
    assert pmf.sum() == pytest.approx(1.0, abs=1e-12)
    assert pmf.argmax() == 7
    assert pmf.min() == pytest.approx(uniform / 20, rel=1e-5)


def test_the_yardstick_refuses_a_model_that_it_does_not_hand_on():
    """Better no figure than one of two different models."""
    world = WORLDS["wine"]()
    other = msgspec.structs.replace(world.application.model, optimizer="coin")
    with pytest.raises(ValueError, match="default optimizer"):
        options_of(world._replace(application=msgspec.structs.replace(world.application, model=other)))


@pytest.mark.parametrize("name", WORLDS)
def test_enough_runs_are_made(name):
    """At least twenty of each world."""
    assert WORLDS[name]().seeds >= 20


def test_the_interval_of_a_ratio_covers_it_as_often_as_it_says():
    """4,000 experiments of 20 pairs: misses are binomial; the limits fail with a chance below 1e-6."""
    rng, fails, experiments = np.random.default_rng(1), 0.05, 4000
    missed = 0
    for _ in range(experiments):
        level = rng.normal(100.0, 10.0, 20)
        ours, theirs = 1.03 * level + rng.normal(0.0, 6.0, 20), level + rng.normal(0.0, 6.0, 20)
        ratio = ratio_of(ours, theirs, fails)
        missed += not ratio.low <= 1.03 <= ratio.high
    slack = 5.0 * np.sqrt(fails * (1 - fails) / experiments)
    assert fails - slack < missed / experiments < fails + slack


def test_a_ratio_without_a_denominator_is_refused():
    """An interval that is the whole line looks like a number, and is none."""
    with pytest.raises(ValueError, match="cannot be told from 0"):
        ratio_of([1.0, 2.0, 3.0], [-1.0, 0.0, 1.2], 0.05)
    with pytest.raises(ValueError, match="two pairs"):
        ratio_of([1.0], [1.0], 0.05)


def test_a_mean_has_its_interval():
    """Student's, of the textbook: 1, 2, 3 at 5 %."""
    assert mean_of([1.0, 2.0, 3.0], 0.05) == pytest.approx((2.0, -0.4841, 4.4841), abs=1e-4)


def test_the_gate_is_on_the_upper_end_not_on_the_ratio():
    """A ratio of 1.02 that could as well be 1.3 is no pass."""
    world = WORLDS["wine"]()
    sure = [Regret(102.0 + k % 3, 100.0 + k % 3) for k in range(20)]
    unsure = [Regret(102.0 + 60 * (-1) ** k, 100.0) for k in range(20)]
    assert figure_of("wine", world, sure).passed is True
    unsure_figure = figure_of("wine", world, unsure)
    assert unsure_figure.facts["regret_ratio"] < MOST < unsure_figure.ratio
    assert unsure_figure.passed is False


def test_a_share_regained_by_luck_in_some_runs_is_no_pass():
    """The gate is on the lower end; without a gate the share is only told."""
    steady = [Drift(0.3, 0.2, 0.29 + k / 1000, 0) for k in range(10)]
    lucky = [Drift(0.3, 0.2, 0.2 + 0.1 * 3 * (k % 2), 0) for k in range(10)]
    assert drift_figure("coin", steady, 0.8).passed is True
    assert drift_figure("coin", lucky, 0.8).passed is False
    assert drift_figure("coin", lucky, None).passed is True
    assert steady[0].regained == pytest.approx(0.9)
