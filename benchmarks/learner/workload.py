"""Decisions as they are stored, made up from a seed; and the same ones as VW's driver reads them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from sidecar.contracts.application import Application, Arm, Exploration, Features, load_application
from sidecar.contracts.catalogue import Catalogue, catalogue_of
from sidecar.contracts.events import DecisionEvent, arms_of
from sidecar.contracts.ids import new_decision_id, partition_of_session
from sidecar.contracts.reward_section import RewardMode
from sidecar.policy.exploration import pmf_of

APP = "bench"
HORIZON_MS = 3_600_000
DECIDED_MS = 1_700_000_000_000
CONTEXT_FEATURES = 10
REWARDED = 0.1
EXPLORATION = Exploration(epsilon=0.2)


class Workload(NamedTuple):
    """An application and the decisions of its visitors.

    The context is eight words, an hour and an age; an arm has a category, a price and a brand.
    """

    arms: int = 10
    partitions: int = 4
    mode: RewardMode = "wait"
    horizon_s: float = HORIZON_MS / 1000

    @property
    def catalogue(self) -> Catalogue:
        """The arms."""
        return catalogue_of(
            tuple(
                Arm(f"sku-{n}", {"category": f"c{n % 5}", "price": 1.0 + n, "brand": f"b{n % 7}"})
                for n in range(self.arms)
            )
        )

    def write(self, folder: Path, learner: Mapping[str, object]) -> Application:
        """The application's folder, as its processes read it, with these settings of the learner."""
        folder.mkdir()
        arms = [{"id": arm.id, "features": arm.features} for arm in self.catalogue.arms]
        (folder / "arms.json").write_bytes(msgspec.json.encode(arms))
        settings = [f"{name} = {json.dumps(value)}" for name, value in learner.items()]
        lines = [
            *(f'name = "{APP}"', f"partitions = {self.partitions}"),
            *("[reward]", f"horizon_s = {self.horizon_s}", f'mode = "{self.mode}"'),
            *("[model]", 'interactions = ["ca"]', "max_pending = 10000000"),
            *("[learner]", *settings),
        ]
        (folder / "app.toml").write_text("\n".join(lines) + "\n")
        return load_application(folder)

    def decisions(self, first: int, count: int) -> list[DecisionEvent]:
        """Those with the numbers from ``first`` on, always the same ones."""
        catalogue = self.catalogue
        return [self._decision(n, catalogue) for n in range(first, first + count)]

    def reward_of(self, n: int) -> float:
        """What comes of decision ``n``: mostly nothing."""
        return float(random.Random(f"reward {n}").random() < REWARDED)

    def _decision(self, n: int, catalogue: Catalogue) -> DecisionEvent:
        rng = random.Random(n)
        context: Features = {f"f{k}": f"v{rng.randrange(8)}" for k in range(CONTEXT_FEATURES - 2)}
        context |= {"hour": float(rng.randrange(24)), "age": rng.random()}
        scores = np.array([rng.random() for _ in range(self.arms)], np.float32)
        index = rng.randrange(self.arms)
        session = f"s-{n:x}"
        partition = partition_of_session(session, self.partitions)
        return DecisionEvent(
            decision_id=new_decision_id(partition, DECIDED_MS + n, rng.getrandbits(64)),
            session_id=session,
            unit_id=session,
            decided_at_ms=DECIDED_MS + n,
            horizon_ms=HORIZON_MS,
            source="model",
            policy="champion",
            model_version=1,
            catalogue=catalogue.version,
            context=context,
            outcomes=dict.fromkeys(context, "given"),
            arms=(),
            given_arms={},
            scores=scores.tobytes(),
            exploration=EXPLORATION,
            arm=catalogue.arms[index].id,
            arm_index=index,
            propensity=float(pmf_of(scores, EXPLORATION)[index]),
            seed=str(rng.getrandbits(63)),
        )


def dsjson(event: DecisionEvent, catalogue: Catalogue, reward: float) -> str:
    """The line of the same example; its namespaces begin with the letters that are crossed."""
    arms = [{"a": {"id": arm.id, **arm.features}} for arm in arms_of(event, catalogue)]
    others = [n for n in range(len(arms)) if n != event.arm_index]
    line = {
        "_label_cost": -reward,
        "_label_probability": event.propensity,
        "_label_Action": event.arm_index + 1,
        "_labelIndex": event.arm_index,
        "Version": "1",
        "EventId": event.decision_id,
        "a": [n + 1 for n in (event.arm_index, *others)],
        "c": {"c": event.context, "_multi": arms},
        "p": [event.propensity, *[0.0] * len(others)],
    }
    return msgspec.json.encode(line).decode() + "\n"
