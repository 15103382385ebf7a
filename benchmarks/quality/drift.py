"""The world changes: two segments of the shop swap their tastes, and the model must follow.

What weights are worth is exact (``examples.shop.truth``): no luck is in it but that of what was learnt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from statistics import fmean
from typing import Literal, NamedTuple

import redis
from msgspec.structs import replace

from benchmarks.quality.lockstep import Lockstep
from benchmarks.quality.worlds import Round, World, shop, shop_rounds
from examples.shop.simulator import Tastes, own_tastes, swapped
from examples.shop.truth import greedy_value
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import ScoreRow

SESSIONS = 10_000
"""Before the swap, and after it."""
BATCH = 250
"""Sessions that are decided before the first of them has been learnt from."""
WATCHED = 8
"""Versions over which a worth is the mean, the last ones before the swap and at the end: from one to the next
it may change by a tenth."""
SEGMENTS = ("student", "parent")
"""Those whose swap takes most from a policy that knows all."""
OPTIMIZER = "coin"
"""The shop's own, ``adaptive``, takes ever smaller steps with VW's ``power_t``: see docs/learner.md."""


class Drift(NamedTuple):
    """Purchases a session of greedy policies, in the long run: means over the watched versions."""

    before: float
    """Up to the swap, in the world that they learnt."""
    frozen: float
    """The same versions in the world after it: what a model that does not learn is worth from then on."""
    online: float
    """Versions of the model that went on learning, in the world after it, at the end."""
    refusals: int
    """Versions that the gate refused."""

    @property
    def gap(self) -> float:
        """What the swap took away."""
        return self.before - self.frozen

    @property
    def regained(self) -> float:
        """Share of the gap that learning on brought back."""
        return (self.online - self.frozen) / self.gap


def drifting_shop(optimizer: Literal["coin", "adaptive"] = OPTIMIZER) -> World:
    """The shop, learning with an optimizer."""
    world = shop()
    model = replace(world.application.model, optimizer=optimizer)
    return world._replace(application=replace(world.application, model=model))


def run(world: World, client: redis.Redis, data: DataFolder, seed: int) -> Drift:
    """Learn the shop, swap the tastes, learn on."""
    client.flushall()
    tastes = swapped(*SEGMENTS)
    platform = Lockstep(client, data, world.application, world.catalogue, run=seed)
    learnt = _go(platform, list(shop_rounds(world.catalogue)(seed, SESSIONS)))
    after = islice(shop_rounds(world.catalogue, tastes)(seed, 2 * SESSIONS), SESSIONS, None)
    learnt_since = _go(platform, list(after))
    return Drift(
        before=_worth(learnt, world.catalogue, own_tastes),
        frozen=_worth(learnt, world.catalogue, tastes),
        online=_worth(learnt_since, world.catalogue, tastes),
        refusals=platform.learner.figures.gate_refusals,
    )


def _go(platform: Lockstep, rounds: Sequence[Round]) -> list[Weights | None]:
    """Let them come; the weights that were published last."""
    latest: deque[Weights | None] = deque(maxlen=WATCHED)
    for start in range(0, len(rounds), BATCH):
        batch = rounds[start : start + BATCH]
        rows = [ScoreRow(one.context, arm_features=one.arm_features) for one in batch]
        platform.round(rows, [one.heard for one in batch])
        latest.append(platform.weights())
    return list(latest)


def _worth(published: Sequence[Weights | None], catalogue: Catalogue, tastes: Tastes) -> float:
    return fmean(greedy_value(weights, catalogue, tastes) for weights in published)
