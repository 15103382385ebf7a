"""Those who compact the log while learners write it, in a third of the seeds: they are paused and killed too.

A keeper looks once, as the learner's own thread does every ten minutes, and does what is due; here there may
be several at once, of which some sleep for long. At the end one who is left alone has the last look.
"""

from __future__ import annotations

import random

from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.compaction import Shape
from policy_learner.archive.log_keeping import Policy, keep
from policy_learner.archive.rows import SCHEMAS
from policy_learner.errors import LearnerError
from sidecar.contracts.errors import ContractError
from sidecar.contracts.log_files import files_below
from tests.faults.actor import Actor
from tests.faults.customer import Violation

SEEDS_WITH_KEEPERS = 0.35
LOOKS = 0.35
"""Of turns in which one comes, or goes on."""
PAUSED_AT_A_MOMENT = 0.25
ALONE = 200
"""Steps that take one to its end."""
DAY_MS = 86_400_000


class Keepers:
    def __init__(self, sim):
        self.sim, self.rng = sim, random.Random(f"keepers {sim.seed}")
        self.there = self.rng.random() < SEEDS_WITH_KEEPERS
        self.actors: list[Actor] = []
        self.compacted = 0

    def turn(self) -> None:
        """Now and then somebody looks."""
        if not self.there or self.rng.random() >= LOOKS:
            return
        alive = [actor for actor in self.actors if not (actor.ended or actor.killed)]
        if alive and self.rng.random() < 0.5:
            self._go_on(self.rng.choice(alive), self._budget(), PAUSED_AT_A_MOMENT)
        else:
            ahead_ms = self.rng.choice((0, 0, DAY_MS))
            self._come(self._policy(), self._budget(), ahead_ms, PAUSED_AT_A_MOMENT)

    def clear(self) -> None:
        """One compacts all there is, and clears away all that it replaced, while others sleep."""
        if self.there:
            self._come(self._policy()._replace(many_files=1, grace_s=0.0), ALONE, ahead_ms=DAY_MS)

    def come_to_rest(self) -> None:
        """Sleepers wake or die, and one who is alone clears up.

        Raises:
            Violation: files lie there that nobody will ever read.
        """
        if not self.there:
            return
        for actor in self.actors:
            if self.rng.random() < 0.5:
                actor.kill()
            self._go_on(actor, ALONE)
        self.clear()
        name = self.sim.application.name
        for dataset in SCHEMAS:
            folder = dataset_folder(self.sim.data.log(name), dataset, name)
            strays = set(folder.glob("dt=*/[!.]*.parquet")) - set(files_below(folder))
            if strays:
                raise Violation(f"I8 {dataset}: files of no generation stay: {sorted(strays)}")

    def bury(self) -> None:
        for actor in self.actors:
            actor.bury()

    def _policy(self) -> Policy:
        """Every one has settings of its own: by hand, or of a version of the learner to come."""
        rng = self.rng
        return Policy(
            many_files=rng.choice((1, 1, 3, 1000)),
            retention_days=0,
            grace_s=rng.choice((0.0, 0.0, 30.0, 3600.0)),
            shape=Shape(rng.choice((1, 2, 50_000)), rng.choice((2, 2_000_000))),
        )

    def _budget(self) -> int:
        return self.rng.choice((ALONE, 1, 2, 3, 5))

    def _come(self, policy: Policy, budget: int, ahead_ms: int, paused: float = 0.0) -> None:
        """Some have a clock that is a day ahead: to them today is over."""
        now_ms = self.sim.time.ms + ahead_ms
        self.actors.append(Actor(lambda actor: self._look(policy, now_ms)))
        self._go_on(self.actors[-1], budget, paused)

    def _go_on(self, actor: Actor, budget: int, paused: float = 0.0) -> None:
        usual, self.sim.paused = self.sim.paused, paused
        self.sim.go_on(actor, budget)
        self.sim.paused = usual
        if not actor.ended and self.rng.random() < 0.2:
            actor.kill()

    def _look(self, policy: Policy, now_ms: int) -> None:
        name = self.sim.application.name
        try:
            kept = keep(self.sim.data.log(name), name, now_ms, policy)
        except OSError:  # the disk is full, or somebody else was faster: the next look does it
            return
        except (LearnerError, ContractError) as error:
            raise Violation(f"I1 the log cannot be compacted: {error}") from error
        self.compacted += len(kept.compacted)
