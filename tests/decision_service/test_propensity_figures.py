"""Whether logged probabilities have mass is told from the draws, and is wrong where they are."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from decision_service.figures.propensities import PropensityFigures
from sidecar.contracts.application import Exploration
from sidecar.contracts.events import DecisionEvent
from sidecar.policy.exploration import pmf_of

ARMS, DECISIONS = 20, 12_000
SCHEMES = [
    Exploration(epsilon=0.1, control_share=0.01),
    Exploration("softmax", temperature=0.3),
    Exploration("squarecb", gamma=10.0, floor=0.001),
    Exploration("uniform"),
]


def told(logged, drawn, decisions=DECISIONS) -> tuple[float, float]:
    """Mean weight of draws from ``drawn`` logged as ``logged``, and how many standard errors it is from 1."""
    registry, rng = CollectorRegistry(), np.random.default_rng(7)
    figures = PropensityFigures(registry)
    for arm in rng.choice(len(drawn), size=decisions, p=drawn):
        figures.drawn(event(logged[arm], len(logged)))
    n, weight, squares = (
        registry.get_sample_value(f"sidearm_propensity_{name}_total")
        for name in ("decisions", "weight", "weight_squares")
    )
    assert n == decisions
    spread = math.sqrt(squares - 2 * weight + n)
    return weight / n, abs(weight - n) / spread if spread else 0.0


def event(propensity: float, arms: int, rule: str = "") -> DecisionEvent:
    return cast(DecisionEvent, SimpleNamespace(propensity=propensity, scores=b"\0" * 4 * arms, rule=rule))


@pytest.mark.parametrize("exploration", SCHEMES, ids=lambda one: one.scheme)
def test_true_probabilities_have_mass_one_whatever_the_scheme(exploration) -> None:
    """Within the five standard errors from which on the alarm rings."""
    scores = np.linspace(0.0, 1.0, ARMS, dtype=np.float32)
    pmf = pmf_of(scores, exploration)
    mean, errors = told(pmf, pmf)
    assert errors < 5.0
    assert mean == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("exploration", SCHEMES[:3], ids=lambda one: one.scheme)
def test_probabilities_that_are_not_those_of_the_draw_are_found_out(exploration) -> None:
    """Drawn greedily but logged as explored; drawn uniformly but logged by score; two arms mixed up."""
    scores = np.linspace(0.0, 1.0, ARMS, dtype=np.float32)
    pmf, greedy = pmf_of(scores, exploration), np.eye(ARMS)[ARMS - 1]
    uniform, mixed_up = np.full(ARMS, 1.0 / ARMS), pmf[[ARMS - 1, *range(1, ARMS - 1), 0]]
    for drawn in (greedy, uniform, mixed_up):
        mean, errors = told(pmf, drawn)
        assert errors > 5.0
        assert abs(mean - 1.0) > 0.02


def test_a_policy_that_never_tries_an_arm_has_no_mass_for_it() -> None:
    """Though its probabilities are true: the mean is the share of arms that are shown."""
    greedy = np.eye(ARMS)[3]
    mean, errors = told(greedy, greedy)
    assert mean == pytest.approx(1 / ARMS)
    assert errors > 5.0


def test_what_was_not_drawn_is_not_counted() -> None:
    """Rules answer with certainty, imports know no scores; tiny probabilities are counted."""
    registry = CollectorRegistry()
    figures = PropensityFigures(registry)
    figures.drawn(event(1.0, 4, rule="sold_out"))
    figures.drawn(event(1.0, 0))
    figures.drawn(event(0.0009, 4))
    assert registry.get_sample_value("sidearm_propensity_decisions_total") == 1
    assert registry.get_sample_value("sidearm_propensity_tiny_total") == 1
