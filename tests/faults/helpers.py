"""Joiners and archivers of the simulation: they come, go on, die and are paused between the others' turns.

They have a source of chance of their own, so that a seed without them is what it was.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from policy_learner.archiver import Archiver
from policy_learner.join import helper
from policy_learner.join.helper import HelperDeps
from policy_learner.joiner import Joiner
from tests.faults.actor import Actor

if TYPE_CHECKING:
    from tests.faults.simulation import Simulation

KINDS = {"joiner": Joiner, "archiver": Archiver}


class Helpers:
    """Those of one seed; every fourth seed has some."""

    def __init__(self, sim: Simulation):
        self._sim, self._rng = sim, random.Random(f"helpers of {sim.seed}")
        self.wanted = sim.seed % 4 == 3
        self.all: list[Actor] = []
        self._ready: dict[str, Actor] = {}

    def turn(self) -> None:
        """Perhaps one goes on, dies, or has a successor while it is only paused."""
        if not self.wanted or self._rng.random() < 0.4:
            return
        kind = self._rng.choice(tuple(KINDS))
        what = self._rng.random()
        if kind not in self._ready or what < 0.15:
            self._start(kind)
        elif what < 0.3:
            self._ready.pop(kind).kill()
            self._sim.faults["helpers killed"] += 1
        elif what < 0.4:
            self._go_on(self._rng.choice(self.all))
        else:
            self._go_on(self._ready[kind])

    def end(self) -> None:
        """Half of them die, half end in order."""
        for actor in self.all:
            if self._rng.random() < 0.5:
                actor.kill()
            else:
                self._sim.finish(actor)

    def archive(self) -> None:
        """What the last learner has learnt goes into files."""
        if self.wanted:
            self._start("archiver")
            self._sim.finish(self._ready["archiver"])

    def _start(self, kind: str) -> None:
        sim = self._sim
        name = f"{kind}-{len(self.all)}"
        deps = HelperDeps(sim.application, sim.settings, sim.data, sim.scripts, lambda: sim.now_s, name, 0.0)
        self._ready[kind] = Actor(lambda actor: helper.run(deps, KINDS[kind], actor))
        self.all.append(self._ready[kind])
        sim.faults["helpers started"] += 1
        self._go_on(self._ready[kind])

    def _go_on(self, actor: Actor) -> None:
        whole = self._rng.random() < 0.5
        self._sim.go_on(actor, self._sim.ALL if whole else int(self._rng.expovariate(1 / 15)) + 1)
