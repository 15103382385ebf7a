"""The shop with several models in one process: decisions as the service would log them, exact values beside.

What a model knows of the shop is which of a shopper's traits its scores depend on; decisions are drawn from
the mixture of all that answer. No VW, no HTTP, no store: thousands of decisions a second.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from examples.shop.simulator import Shopper, expected_reward, load_arms, shoppers
from policy_learner.promotion.heard import Matured
from sidecar.contracts.application import Exploration
from sidecar.contracts.events import Candidate, DecisionEvent, Shadow
from sidecar.contracts.roster import Roster
from sidecar.policy.exploration import pmf_of

EXPLORATION = Exploration("epsilon_greedy", 0.2, 0.01)
TYPES, SHARES = zip(*shoppers(), strict=True)
ARMS = load_arms()
TRUTH = np.array([[expected_reward(who, arm) for arm in ARMS] for who in TYPES])
Scores = np.ndarray


@cache
def knowing(*traits: str) -> Scores:
    """Scores of a model that knows what shoppers with these traits buy on average, ``(n_types, n_arms)``."""
    keys = [tuple(_trait(who, trait) for trait in traits) for who in TYPES]
    found = np.empty_like(TRUTH, np.float32)
    for key in set(keys):
        rows = [n for n, one in enumerate(keys) if one == key]
        found[rows] = np.average(TRUTH[rows], axis=0, weights=np.array(SHARES)[rows])
    return found


def _trait(who: Shopper, trait: str) -> object:
    return who.hour // 6 if trait == "band" else getattr(who, trait)


def value(scores: Scores, truth: np.ndarray = TRUTH) -> float:
    """What the model earns a session as it explores, exactly."""
    return float(np.dot(SHARES, (pmf_of(scores, EXPLORATION) * truth).sum(1)) / sum(SHARES))


class Shop:
    """Traffic for the models of a roster.

    Args:
        seed: of all luck.
        models: name to scores.
    """

    def __init__(self, seed: int, models: dict[str, Scores]) -> None:
        self.models, self.truth = models, TRUTH
        self.explores: dict[str, Exploration] = {}
        """Models that explore in another way than :data:`EXPLORATION`."""
        self._rng, self._count = np.random.default_rng(seed), 0

    def minute(self, roster: Roster, count: int = 300) -> list[Matured]:
        """So many decisions with what came of them."""
        answering = [(one.name, p) for one, p in _official(roster)]
        pmfs = {name: pmf_of(self.models[name], self._how(name)) for name, _ in answering}
        chances = sum(p * pmfs[name] for name, p in answering)
        types = self._rng.choice(len(TYPES), count, p=np.array(SHARES) / sum(SHARES))
        places = (self._rng.random(count)[:, None] > chances[types].cumsum(1)).sum(1)
        officials = self._rng.choice(len(answering), count, p=[p for _, p in answering])
        bought = self._rng.random(count) < self.truth[types, places]
        chosen = zip(types, places, officials, bought, strict=True)
        return [
            self._decision(roster, answering, int(t), int(a), o, float(chances[t, a]), float(b))
            for t, a, o, b in chosen
        ]

    def _decision(self, roster, answering, who, place, official, propensity, reward) -> Matured:
        self._count += 1
        name, probability = answering[official]
        others = [one for n, one in enumerate(answering) if n != official]
        shadows = [one.name for one in roster.models if one.role == "shadow"]
        event = DecisionEvent(
            decision_id=f"d-{self._count}",
            session_id="s",
            unit_id="u",
            decided_at_ms=0,
            horizon_ms=1,
            source="model",
            policy=name,
            model_version=1,
            catalogue="c",
            context={},
            outcomes={},
            arms=(),
            given_arms={},
            scores=self._scores(name, who),
            exploration=self._how(name),
            arm=ARMS[place].id,
            arm_index=place,
            propensity=propensity,
            seed="0",
            official_probability=probability,
            candidates=tuple(Candidate(n, 1, p, self._how(n), self._scores(n, who)) for n, p in others),
            shadows=tuple(Shadow(n, 1, self._scores(n, who)) for n in shadows),
        )
        return Matured(event, reward)

    def _how(self, name: str) -> Exploration:
        return self.explores.get(name, EXPLORATION)

    def _scores(self, name: str, who: int) -> bytes:
        return self.models[name][who].tobytes()


def _official(roster: Roster):
    """Each model that can answer, with the probability that it is official."""
    challengers = [one for one in roster.models if one.role == "challenger"]
    rest = 1.0 - sum(one.share for one in challengers)
    return [(roster.champion, rest), *((one, one.share) for one in challengers)]
