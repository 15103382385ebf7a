"""A small application on the real store: decisions scored as the sidecar would, rewards, moving time."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import redis

from policy_learner.join.helper import HelperDeps
from policy_learner.settings import LearnerSettings
from policy_learner.state import Deps, Learner, open_learner
from sidecar.contracts import keys as app_keys
from sidecar.contracts.application import Application, Arm, Exploration
from sidecar.contracts.base_model import columns_of
from sidecar.contracts.catalogue import catalogue_of, encode_arms
from sidecar.contracts.deltas import read_newest
from sidecar.contracts.events import DecisionEvent, encode_reward_tail
from sidecar.contracts.ids import new_decision_id, partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.reward_section import RewardConfig, RewardMode
from sidecar.contracts.scripts.activate import ActivateEntry, activate_call, parse_activate
from sidecar.contracts.scripts.decide import decide_call, entry_of, parse_decide
from sidecar.contracts.scripts.reward import RewardEntry, limits_of, parse_reward, reward_call
from sidecar.contracts.store import Scripts
from sidecar.contracts.wire import ScoreRequest, ScoreResponse, ScoreRow
from sidecar.policy.base import BaseModel
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score
from sidecar.policy.sampling import draw, seed_of

ARMS = tuple(Arm(f"sku-{n}", {"price": float(n), "kind": "ab"[n % 2]}) for n in range(4))
CATALOGUE = catalogue_of(ARMS)
HORIZON_MS = 60_000
SECRET = b"secret of the tests"
EXPLORATION = Exploration(epsilon=0.2)


class World:
    """One application, its store, and everything that is not the learner."""

    def __init__(
        self,
        client: redis.Redis,
        data: DataFolder,
        partitions: int = 2,
        settings: LearnerSettings | None = None,
        mode: RewardMode = "wait",
    ) -> None:
        self.application = Application(
            name="world",
            partitions=partitions,
            reward=RewardConfig(horizon_s=HORIZON_MS / 1000, mode=mode),
            model=ModelConfig(bits=10),
        )
        self.settings = settings or LearnerSettings(publish_every_examples=1, archive_rows=1000)
        self.client, self.data, self.scripts = client, data, Scripts.on(client)
        self.partitions = [Keys("world", p) for p in range(partitions)]
        self.now_s = 0.0
        self.base: BaseModel | None = None
        self._count, self._tables = itertools.count(), ArmTables()
        client.hset(app_keys.catalogues("world"), CATALOGUE.version, encode_arms(ARMS))

    @property
    def log(self) -> Path:
        return self.data.log("world")

    def learner(self) -> Learner:
        return open_learner(
            Deps(self.application, self.settings, self.data, self.scripts, lambda: self.now_s)
        )

    def helper(self, kind, name: str = ""):
        """A joiner or an archiver beside the learner."""
        deps = (self.application, self.settings, self.data, self.scripts, lambda: self.now_s)
        return kind(HelperDeps(*deps, name or kind.__name__))

    def weights(self):
        newest = read_newest(self.client, "world")
        return newest.weights if newest else None

    def event(self, **changes) -> DecisionEvent:
        """A decision, made with the published weights."""
        n = next(self._count)
        session = f"s-{n}"
        partition = partition_of_session(session, len(self.partitions))
        decision_id = new_decision_id(partition, 1_700_000_000_000 + n, n)
        context = {"device": ("ios", "web")[n % 2], "hour": float(n % 24)}
        request = ScoreRequest((ScoreRow(context),), (EXPLORATION,), CATALOGUE.version, ARMS)
        answer = score(request, self.weights(), self._tables, self.base)
        pmf = np.frombuffer(answer.rows[0].pmf, "<f8")
        seed = seed_of(decision_id, SECRET)
        index = draw(pmf, seed)
        fields = {
            "decision_id": decision_id,
            "session_id": session,
            "unit_id": session,
            "decided_at_ms": 1_700_000_000_000 + n,
            "horizon_ms": HORIZON_MS,
            "source": "model",
            "policy": "champion",
            "model_version": answer.model_version,
            "catalogue": CATALOGUE.version,
            "context": context,
            "outcomes": dict.fromkeys(context, "given"),
            "arms": (),
            "given_arms": {},
            "scores": answer.rows[0].scores,
            "exploration": EXPLORATION,
            "arm": ARMS[index].id,
            "arm_index": index,
            "propensity": float(pmf[index]),
            "seed": str(seed),
            "cold": answer.cold,
        } | self._based(answer)
        return DecisionEvent(**(fields | changes))

    def _based(self, answer: ScoreResponse) -> dict[str, object]:
        """What the service notes of a base model."""
        (column,) = columns_of(answer)
        if column is None:
            return {}
        outcomes = {"device": "given", "hour": "given", column.feature: column.outcome}
        return {"outcomes": outcomes, "arm_features": {column.feature: column.scores}}

    def decide(self, count: int = 1, **changes) -> list[DecisionEvent]:
        """Log decisions, one after the other."""
        events = [self.event(**changes) for _ in range(count)]
        for event in events:
            self.log_decision(event)
        return events

    def log_decision(self, event: DecisionEvent) -> None:
        entry = entry_of(event, self.application.reward.mode)
        call = decide_call(self.keys_of(event), [entry], max_pending=10**6, tombstone_ms=86_400_000)
        assert parse_decide(self.scripts.run(call))[0].status == "OK"

    def activate(self, event: DecisionEvent) -> str:
        call = activate_call(
            self.keys_of(event), [ActivateEntry(event.decision_id, event.session_id)], tombstone_ms=86_400_000
        )
        return parse_activate(self.scripts.run(call))[0].status.value

    def keys_of(self, event: DecisionEvent) -> Keys:
        return self.partitions[int(event.decision_id.partition("-")[0], 16)]

    def reward(self, event: DecisionEvent, value: float, key: str = "k") -> str:
        keys = self.keys_of(event)
        entry = RewardEntry(event.decision_id, key, encode_reward_tail(value, 0, "purchase", event.arm))
        limits = limits_of(self.application.reward, 10**6)
        return parse_reward(self.scripts.run(reward_call(keys, [entry], limits)))[0].status.value

    def move(self, ms: int) -> None:
        """Let time pass for the store's scripts; the learner's timers stand still (see ``now_s``)."""
        for keys in self.partitions:
            self.client.incrby(keys.skew, ms)
        self.client.incrby(app_keys.app_skew("world"), ms)

    def shop(self, count: int) -> list[DecisionEvent]:
        """Decisions, every third of which is rewarded, and the end of their horizon."""
        events = self.decide(count)
        for event in events[::3]:
            assert self.reward(event, 1.0 + event.arm_index) == "OK"
        self.move(HORIZON_MS + 1)
        return events
