"""Worlds whose truth is known: who comes, what each arm would earn, and what would be heard of it.

The three data sets are what scikit-learn ships, told as contextual bandits: a class is an arm, the features
are the context, the right class earns 1. Alina Beygelzimer, John Langford: The Offset Tree for Learning with
Partial Labels, 2009.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from sklearn import datasets

from examples.shop.simulator import (
    FOLDER,
    HORIZON_S,
    Session,
    Shopper,
    Tastes,
    expected_reward,
    own_tastes,
    sessions,
)
from examples.shop.truth import scored_arms, scored_context
from sidecar.contracts.application import Application, Arm, Features, load_application
from sidecar.contracts.arm_features import Columns
from sidecar.contracts.catalogue import Catalogue, catalogue_of, load_catalogue
from sidecar.contracts.model_section import ModelConfig


class Round(NamedTuple):
    """One session, whatever it is shown."""

    context: Features
    arm_features: Columns
    expected: tuple[float, ...]
    """Of each arm, in the catalogue's order: what it earns on average."""
    heard: tuple[float, ...]
    """What this session earns with it, as far as that is heard of within the horizon."""


class World(NamedTuple):
    """An application and those who come to it."""

    application: Application
    catalogue: Catalogue
    rounds: Callable[[int, int], Iterator[Round]]
    """Seed and how many."""
    delay: int
    """Rounds that are decided before the first of them has been learnt from."""
    length: int = 2_000
    """Rounds of a run."""
    seeds: int = 40
    """Runs: as many as make the interval narrow enough to tell 1.00 from 1.05."""


def shop() -> World:
    """Twenty products; the model as the shop configures it."""
    application = load_application(FOLDER)
    catalogue = load_catalogue(FOLDER, application)
    return World(application, catalogue, shop_rounds(catalogue), delay=100)


def shop_rounds(catalogue: Catalogue, tastes: Tastes = own_tastes) -> Callable[[int, int], Iterator[Round]]:
    """The shop's sessions, in a world with such tastes."""
    ids = tuple([arm.id for arm in catalogue.arms])

    @cache
    def chances(shopper: Shopper) -> tuple[float, ...]:
        return tuple([expected_reward(tastes(shopper), arm) for arm in catalogue.arms])

    def round_of(session: Session) -> Round:
        shopper, in_time = session.shopper, session.delay_s < HORIZON_S
        expected = chances(shopper)
        heard = tuple([float(in_time and session.luck < chance) for chance in expected])
        return Round(scored_context(shopper), scored_arms(shopper.segment, ids), expected, heard)

    return lambda seed, count: map(round_of, sessions(seed, 0, count))


def classification(name: str) -> World:
    """A data set of scikit-learn's, ``digits``, ``wine`` or ``breast_cancer``; the model as it is by default.

    Rounds are drawn from its rows with replacement; features have mean 0 and variance 1 over them.
    """
    loaded = getattr(datasets, f"load_{name}")()
    values, labels = np.asarray(loaded.data, float), np.asarray(loaded.target, int)
    spread = values.std(axis=0)
    values = ((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).round(6)
    contexts = [{f"f{k}": value for k, value in enumerate(row) if value} for row in values.tolist()]
    classes = int(labels.max()) + 1
    rewards = [tuple([float(k == label) for k in range(classes)]) for label in labels.tolist()]
    catalogue = catalogue_of(tuple(Arm(f"class-{k}") for k in range(classes)))

    def rounds(seed: int, count: int) -> Iterator[Round]:
        for place in np.random.default_rng(seed).integers(len(contexts), size=count).tolist():
            yield Round(contexts[place], {}, rewards[place], rewards[place])

    return World(
        Application(name=f"{name}".replace("_", "-"), model=ModelConfig()), catalogue, rounds, delay=50
    )


WORLDS: dict[str, Callable[[], World]] = {
    "shop": shop,
    # VW's own regret changes by a tenth when the order within its batches does: many runs, half as long.
    "digits": lambda: classification("digits")._replace(length=1_000, seeds=160),
    "wine": lambda: classification("wine"),
    "breast_cancer": lambda: classification("breast_cancer"),
}
