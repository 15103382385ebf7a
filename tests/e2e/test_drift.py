"""The shop's shoppers change: a model that learns on follows, one that is frozen does not."""

from __future__ import annotations

import pytest

from benchmarks.quality.drift import drifting_shop, run


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_learning_on_regains_what_a_swap_of_tastes_took(store, data_folder, seed):
    """At least 80 % of the gap within 10,000 sessions, by join, learner, gate and published weights.

    What weights are worth is enumerated, not sampled: no claim here can fail by bad luck.
    """
    drift = run(drifting_shop(), store, data_folder, seed)
    assert drift.gap > 0.08, "the swap hurts a model that is frozen: it earns a third less, for ever"
    assert drift.regained >= 0.8, drift
