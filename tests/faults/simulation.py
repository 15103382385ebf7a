"""One seed: everybody takes turns on the real store and the real disk, and everything that can fail does.

The scripts, the learner and its archive are the product's own; its trainer is a fold, save in every twentieth
seed. Time is the seed's. So is who goes on when, and for how long: between any two commands to the store, and
at every named moment, a learner may be paused, may die, or may find the disk full. A learner that is paused
comes back later, when others have taken over. At the end everything comes to rest, and the checker looks.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections import Counter
from functools import lru_cache
from types import MappingProxyType, ModuleType
from unittest import mock

import msgspec
from msgspec.structs import replace
from redis import Redis

from policy_learner import failpoints
from policy_learner.errors import Fenced
from policy_learner.learning import trainer
from policy_learner.run import run
from policy_learner.settings import LearnerSettings
from policy_learner.state import Deps
from sidecar.contracts import keys as app_keys
from sidecar.contracts.application import Application, Arm
from sidecar.contracts.catalogue import catalogue_of, encode_arms
from sidecar.contracts.events import MODES
from sidecar.contracts.ids import partition_of_decision, partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.scripts.call import NAMES, script_text
from sidecar.contracts.store import Scripts
from tests.faults.actor import Actor
from tests.faults.checker import check_at_rest
from tests.faults.customer import Customer, Violation
from tests.faults.fold import FoldTrainer
from tests.faults.follower import Follower
from tests.faults.helpers import Helpers
from tests.faults.keepers import Keepers
from tests.faults.wire import STORE, LossyRedis, VirtualTime, Wire

APP = "sim"
ARMS = (Arm("sku-0", {"price": 1.0}), Arm("sku-1", {"price": 2.0}))
NOON_MS = 1_700_049_600_000
MIDNIGHT_MS = 1_700_092_800_000
ALL = 3000
"""Steps that take a learner to its next rest, whatever there is to do."""
PAUSED_AT_A_MOMENT = 0.06
AIMED_AT = ("file begun", "file written", "linked", "published", "trimmed")
"""Moments at which whoever pauses does most harm: they come late in a step, and chance seldom gets there."""
MOST_TURNS = 10
"""Turns within which a lone, undisturbed learner must come to rest."""
TEXTS = {name: script_text(name) for name in NAMES}


@lru_cache(maxsize=1)
def _replaced(modules: int) -> list[tuple[ModuleType, str, object]]:
    """Where the learner's modules name the trainer, and the gate's comparison with VW's own prediction.

    Looked up again when there are other ``modules`` than before.
    """
    del modules
    instead = {"Trainer": FoldTrainer, "judge_parity": lambda before, *rest: before}
    ours = [module for name, module in sys.modules.items() if name.startswith("policy_learner.")]
    return [
        (module, name, instead[name])
        for module in ours
        for name in instead
        if name in vars(module) and module is not trainer
    ]


def scripts_on(client: Redis) -> Scripts:
    """The scripts, their texts read once."""
    return Scripts(client, {name: client.register_script(text) for name, text in TEXTS.items()})


class Simulation:
    service_repeats = False
    """Calls reach the store once each; a customer repeats them knowingly."""
    ALL = ALL
    BYSTANDER = "{somebody.0}:else"
    bystander = MappingProxyType({b"dec": b"1"})

    def __init__(self, seed: int, client: Redis, folder: DataFolder):
        self.seed, self.rng, self.client, self.data = seed, random.Random(seed), client, folder
        rng = self.rng
        self.real_trainer, self.mode = seed % 20 == 0, rng.choice(tuple(MODES.values()))
        self.application = Application(
            name=APP,
            partitions=rng.choice((1, 1, 1, 2, 4)),
            reward=RewardConfig(
                horizon_s=20.0,
                mode=self.mode,
                early_window_s=rng.choice((10.0, 40.0)),
                max_per_decision=rng.choice((2, 64)),
            ),
            model=ModelConfig(
                bits=8,
                max_pending=rng.choice((3, 1000, 1000)),
                shuffle=random.Random(f"order of {seed}").choice((0, 0, 2, 8)),
            ),
        )
        self.settings = LearnerSettings(
            publish_every_s=rng.choice((0.5, 30.0)),
            publish_every_examples=rng.choice((1, 3, 1000)),
            finalise_batch=rng.choice((1, 3, 64)),
            read_batch=rng.choice((1, 3, 256)),
            archive_every_s=rng.choice((0.5, 0.5, 30.0)),
            archive_rows=rng.choice((2, 1000)),
            checkpoint_every_s=rng.choice((0.5, 0.5, 30.0)),
            trim_every_s=rng.choice((0.5, 0.5, 5.0)),
            status_every_s=86_400.0,
            compact_every_s=0.0,  # keepers do, in turns of their own
        )
        self.moments = Counter()
        self.faults = dict.fromkeys(
            ("paused", "killed", "disk full", "fenced", "started", "helpers started", "helpers killed"), 0
        )
        self.helpers = Helpers(self)
        if self.helpers.wanted:
            self.settings = replace(self.settings, archiver="apart")
        self.horizon_ms, self.tombstone_ms = 20_000, 86_400_000
        self.early_ms = round(self.application.reward.early_window_s * 1000)
        self.most_awaited = rng.choice((1, 1000))
        self.catalogue = catalogue_of(ARMS)
        self.partitions = [Keys(APP, p) for p in range(self.application.partitions)]
        client.flushall()
        client.hset(self.BYSTANDER, mapping=self.bystander)
        client.hset(app_keys.catalogues(APP), self.catalogue.version, encode_arms(ARMS))
        skews = [*(keys.skew for keys in self.partitions), app_keys.app_skew(APP)]
        start_ms = MIDNIGHT_MS - 90_000 if rng.random() < 0.2 else NOON_MS
        self.time = VirtualTime(client, APP, self.partitions, skews, start_ms)
        self.now_s = 0.0
        self.wire = Wire(rng.random, rng.choice((0.0, 0.02, 0.1)), self._step)
        self.disk_full, self.paused = rng.choice((0.0, 0.0, 0.1)), PAUSED_AT_A_MOMENT
        self.pause_at = ""
        self.scripts = scripts_on(LossyRedis.on(self.wire, client))
        self.running: Actor | None = None
        self.learners: list[Actor] = []
        self.customer, self.follower, self.keepers = Customer(self), Follower(client, APP), Keepers(self)

    def keys_of(self, session: str) -> Keys:
        return self.partitions[partition_of_session(session, len(self.partitions))]

    def keys_of_decision(self, decision_id: str) -> Keys:
        return self.partitions[partition_of_decision(decision_id, len(self.partitions))]

    def play(self) -> None:
        """The whole seed.

        Raises:
            Violation: an invariant is broken.
        """
        with self._armed():
            try:
                self._start_learner()
                for _ in range(self.rng.randrange(16, 36)):
                    self._turn()
                    self.helpers.turn()
                    self.keepers.turn()
                self._come_to_rest()
                check_at_rest(self)
            finally:
                self._bury()

    def _turn(self) -> None:
        customer, rng = self.customer, self.rng
        action = rng.choices(
            (
                customer.ask,
                customer.ask_again,
                customer.reward,
                customer.reward_session,
                customer.reward_stale,
                customer.activate,
                self._pass_time,
                self._run_learner,
                self._start_learner,
                self._kill_learner,
                self._take_over,
            ),
            (20, 4, 14, 4, 2, 3, 14, 30, 3, 3, 3),
        )[0]
        action()

    def _pass_time(self) -> None:
        ms = self.rng.choice((1, 1000, 21_000, 21_000, 61_000))
        self.time.advance(ms)
        self.now_s += ms / 1000

    def _start_learner(self) -> None:
        """Whoever runs already is a zombie from now on, and does not know it."""
        self.faults["started"] += 1
        deps = Deps(self.application, self.settings, self.data, self.scripts, lambda: self.now_s)
        self.learners.append(Actor(lambda actor: run(deps, actor)))
        self.go_on(self.learners[-1], self._budget())

    def _run_learner(self) -> None:
        """Mostly the latest; now and then one that was paused comes back."""
        alive = [learner for learner in self.learners if not (learner.ended or learner.killed)]
        if alive:
            learner = alive[-1] if self.rng.random() < 0.75 else self.rng.choice(alive)
            self.go_on(learner, self._budget())
        else:
            self._start_learner()

    def _take_over(self) -> None:
        """One is paused at a named moment; the next does its work, and more; then the first comes back."""
        usual, self.pause_at = self.paused, self.rng.choice(("", "", *AIMED_AT))
        self.paused = 0.0 if self.pause_at else 0.3
        self._run_learner()
        self.paused, self.pause_at = usual, ""
        paused = self.learners[-1]
        if self.rng.random() < 0.5:  # so that the next one finds more to do than the first
            self.customer.ask()
            self._pass_time()
        self._start_learner()
        for step in (self.customer.ask, self._pass_time, self._run_learner, self._run_learner):
            step()
        self.keepers.clear()
        self.go_on(paused, self._budget())

    def _kill_learner(self) -> None:
        alive = [learner for learner in self.learners if not (learner.ended or learner.killed)]
        if alive:
            self.rng.choice(alive).kill()
            self.faults["killed"] += 1

    def _budget(self) -> int:
        return ALL if self.rng.random() < 0.5 else int(self.rng.expovariate(1 / 15)) + 1

    def go_on(self, learner: Actor, budget: int) -> None:
        self.running = learner
        learner.run(budget)
        self.running = None
        self.follower.judge()
        if learner.failure is None:
            self.faults["paused"] += budget != ALL
        elif isinstance(learner.failure, Fenced):
            self.faults["fenced"] += 1
            learner.failure = None
        elif isinstance(learner.failure, Violation):
            raise learner.failure
        else:
            raise Violation(f"a learner ended with {learner.failure!r}") from learner.failure

    def _step(self, moment: str) -> None:
        """Somebody is at a moment at which they may be stopped."""
        if self.running is None:
            return
        self.moments[moment] += 1
        if moment.endswith("written") and self.rng.random() < self.disk_full:
            self.faults["disk full"] += 1
            raise OSError(28, "No space left on device")
        aimed = moment == self.pause_at
        self.running.passing(aimed or (moment not in STORE and self.rng.random() < self.paused))

    def _come_to_rest(self) -> None:
        """No more faults; zombies come back, time runs out for all that waits, one learner does the rest."""
        self.wire.lost = self.disk_full = self.paused = 0.0
        for learner in self.learners:
            if self.rng.random() < 0.5:
                learner.kill()
            else:
                self.finish(learner)
        self.helpers.end()
        self.time.advance(200_000)
        self.now_s += 200.0
        self._start_learner()
        self.finish(self.learners[-1])
        if self.helpers.wanted:
            self.helpers.archive()
            self._start_learner()  # it trims behind the archiver
            self.finish(self.learners[-1])
        self.keepers.come_to_rest()

    def finish(self, learner: Actor) -> None:
        learner.stopping = True
        for _ in range(MOST_TURNS):
            if learner.ended or learner.killed:
                return
            self.go_on(learner, ALL)
        raise Violation("I6 a learner that nobody disturbs does not come to rest")

    def _bury(self) -> None:
        for actor in (*self.learners, *self.helpers.all):
            actor.bury()
        self.keepers.bury()

    @contextlib.contextmanager
    def _armed(self):
        with contextlib.ExitStack() as stack:
            failpoints.arm(self._step)
            stack.callback(failpoints.arm, None)
            if not self.real_trainer:
                for module, name, instead in _replaced(len(sys.modules)):
                    stack.enter_context(mock.patch.object(module, name, instead))
            yield

    def summary(self) -> dict[str, int]:
        """What happened, for the report."""
        told = self.customer.memory
        return {
            "decisions": sum(bool(asked.accepted) for asked in told.asked),
            "rewards": sum(bool(t.status) for attempts in told.told.values() for t in attempts),
            "lost on the wire": self.wire.losses,
            "days compacted": self.keepers.compacted,
            **self.faults,
        }


def described(sim: Simulation) -> str:
    """The seed's settings, for whoever looks into it."""
    told = msgspec.json.encode(sim.settings).decode()
    return f"{told} partitions={sim.application.partitions} mode={sim.mode}"
