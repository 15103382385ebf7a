"""Random contexts, arms and decisions with awkward names, from a seed."""

from __future__ import annotations

import random

from sidecar.contracts.application import Arm, Exploration, Features
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.events import DecisionEvent

PLAIN_NAMES = ("device", "hour", "42", "0007", "größe", "商品", "naïve=yes", "a.b-c", "'quoted'", "-1", "1e5")
AWKWARD_NAMES = (*PLAIN_NAMES, "with space", "with:colon", "with|pipe", "tab\there", "", " ", "new\nline")
ARM_IDS = ("sku-1", "10042", "007", "ärmel", "two words", "a:b|c", "99999999999999999999", "x")
PLAIN_ARM_IDS = ("sku-1", "10042", "007", "ärmel", "99999999999999999999", "x")


def features(rng: random.Random, names: tuple[str, ...], most: int = 8) -> Features:
    """Up to ``most`` features: text, numbers of many sizes, truth."""
    chosen = rng.sample(names, rng.randint(0, min(most, len(names))))
    return {name: _value(rng, names) for name in chosen}


def arms(rng: random.Random, names: tuple[str, ...], ids: tuple[str, ...], count: int = 5) -> tuple[Arm, ...]:
    """Arms with different numbers of features."""
    return tuple(Arm(arm_id, features(rng, names, 4)) for arm_id in rng.sample(ids, count))


def decision(rng: random.Random, context: Features, eligible: tuple[Arm, ...]) -> DecisionEvent:
    """A decision that showed one of ``eligible``, all of which the client gave."""
    shown = rng.randrange(len(eligible))
    return DecisionEvent(
        decision_id=f"0-{rng.getrandbits(108):027x}",
        session_id="s",
        unit_id="s",
        decided_at_ms=1,
        horizon_ms=1000,
        source="model",
        policy="champion",
        model_version=0,
        catalogue=catalogue_of(eligible).version,
        context=context,
        outcomes={},
        arms=(),
        given_arms={},
        scores=b"",
        exploration=Exploration(),
        arm=eligible[shown].id,
        arm_index=shown,
        propensity=rng.uniform(0.05, 1.0),
        seed="1",
    )


def _value(rng: random.Random, names: tuple[str, ...]) -> str | float | bool:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(names)
    if kind == 1:
        return rng.random() < 0.5
    if kind == 2:
        return float(rng.randint(-3, 3))
    return rng.gauss(0.0, 1.0) * 10.0 ** rng.randint(-3, 2)
