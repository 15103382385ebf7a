"""The platform in lockstep with its callers: nothing waits, nothing runs by itself, everything else is real.

Scripts, store, learner, gate, archive, deltas and scoring are the product's own; there are no sockets, and
time is moved by hand. So a run is the same every time, and as fast as the machine is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import redis

from policy_learner.loop import step
from policy_learner.settings import LearnerSettings
from policy_learner.state import Deps, open_learner
from sidecar.contracts import keys as app_keys
from sidecar.contracts.application import Application
from sidecar.contracts.catalogue import Catalogue, encode_arms
from sidecar.contracts.deltas import read_newest
from sidecar.contracts.events import DecisionEvent, encode_reward_tail
from sidecar.contracts.ids import new_decision_id, partition_of_decision, partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.scripts.decide import DecideStatus, decide_call, entry_of, parse_decide
from sidecar.contracts.scripts.reward import (
    RewardEntry,
    RewardStatus,
    limits_of,
    parse_reward,
    reward_call,
)
from sidecar.contracts.store import Scripts
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import ScoredRow, ScoreRequest, ScoreRow
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score
from sidecar.policy.sampling import draw, seed_of

Floats = npt.NDArray[np.float64]
SECRET = b"secret of the lockstep runs"
BEGAN_MS = 1_700_000_000_000


class Shown(NamedTuple):
    """A decision that was made and logged."""

    event: DecisionEvent
    pmf: Floats
    """``(n_arms,)``, of which the arm was drawn."""


class Lockstep:
    """One application and its learner.

    Args:
        client: of an empty store.
        data: an empty data folder.
        application: what it learns, and how.
        catalogue: its arms.
        settings: the learner's.
        run: goes into every decision id, and so into every draw.
    """

    def __init__(
        self,
        client: redis.Redis,
        data: DataFolder,
        application: Application,
        catalogue: Catalogue,
        settings: LearnerSettings | None = None,
        run: int = 0,
    ) -> None:
        self.application, self.catalogue, self.data = application, catalogue, data
        self.client, self.scripts = client, Scripts.on(client)
        self.partitions = [Keys(application.name, p) for p in range(application.partitions)]
        self.now_s = 0.0
        explores = application.exploration
        self._exploration = explores.as_logged()
        self._tables, self._count, self._run = ArmTables(), 0, run
        client.hset(app_keys.catalogues(application.name), catalogue.version, encode_arms(catalogue.arms))
        deps = Deps(application, settings or LearnerSettings(), data, self.scripts, lambda: self.now_s)
        self.learner = open_learner(deps)

    def weights(self) -> Weights | None:
        """The newest published ones, as a sidecar has them."""
        newest = read_newest(self.client, self.application.name)
        return newest.weights if newest else None

    def decide(self, rows: Sequence[ScoreRow], weights: Weights | None) -> list[Shown]:
        """Score, draw and log a batch of decisions of as many sessions."""
        request = ScoreRequest(tuple(rows), (self._exploration,), self.catalogue.version, self.catalogue.arms)
        answer = score(request, weights, self._tables)
        shown = [
            self._drawn(row, scored, answer.model_version)
            for row, scored in zip(rows, answer.rows, strict=True)
        ]
        self._log([one.event for one in shown])
        return shown

    def reward(self, earned: Sequence[tuple[DecisionEvent, float]]) -> None:
        """What came of some decisions; each is heard of once."""
        limits = limits_of(self.application.reward, self.application.model.max_pending)
        batches: dict[int, list[RewardEntry]] = defaultdict(list)
        for event, value in earned:
            tail = encode_reward_tail(value, 0, "purchase", event.arm)
            batches[partition_of_decision(event.decision_id, len(self.partitions))].append(
                RewardEntry(event.decision_id, f"of {event.decision_id}", tail)
            )
        for partition, entries in batches.items():
            reply = self.scripts.run(reward_call(self.partitions[partition], entries, limits))
            assert all(answer.status is RewardStatus.OK for answer in parse_reward(reply))

    def pass_time(self, seconds: float) -> None:
        """For the store's scripts and for the learner's timers."""
        for keys in self.partitions:
            self.client.incrby(keys.skew, round(1000 * seconds))
        self.client.incrby(app_keys.app_skew(self.application.name), round(1000 * seconds))
        self.now_s += seconds

    def learn(self) -> None:
        """Let the learner do everything that there is to do; what the gate lets through is published."""
        while step(self.learner):
            pass

    def round(self, rows: Sequence[ScoreRow], heard: Sequence[Sequence[float]]) -> list[Shown]:
        """A batch decides with the same weights, earns, matures, and is learnt: a delay of one batch.

        Args:
            rows: one for each session.
            heard: for each, the reward of each arm if it is shown; 0: nothing is heard.
        """
        shown = self.decide(rows, self.weights())
        values = [rewards[one.event.arm_index] for one, rewards in zip(shown, heard, strict=True)]
        self.reward([(one.event, value) for one, value in zip(shown, values, strict=True) if value])
        self.pass_time(self.application.reward.horizon_s + 1.0)
        self.learn()
        return shown

    def _drawn(self, row: ScoreRow, scored: ScoredRow, version: int) -> Shown:
        n, self._count = self._count, self._count + 1
        session = session_of(self._run, n)
        decision_id = decision_id_of(self._run, n, len(self.partitions))
        pmf: Floats = np.frombuffer(scored.pmf, "<f8")
        seed = seed_of(decision_id, SECRET)
        index = draw(pmf, seed)
        event = DecisionEvent(
            decision_id=decision_id,
            session_id=session,
            unit_id=session,
            decided_at_ms=BEGAN_MS + n,
            horizon_ms=round(1000 * self.application.reward.horizon_s),
            source="model",
            policy="champion",
            model_version=version,
            catalogue=self.catalogue.version,
            context=row.context,
            outcomes={},
            arms=(),
            given_arms={},
            scores=scored.scores,
            exploration=self._exploration,
            arm=self.catalogue.arms[index].id,
            arm_index=index,
            propensity=float(pmf[index]),
            seed=str(seed),
            arm_features=row.arm_features,
            cold=version == 0,
        )
        return Shown(event, pmf)

    def _log(self, events: Sequence[DecisionEvent]) -> None:
        tombstone_ms = round(self.application.reward.tombstone_s * 1000)
        batches: dict[int, list[DecisionEvent]] = defaultdict(list)
        for event in events:
            batches[partition_of_decision(event.decision_id, len(self.partitions))].append(event)
        for partition, batch in batches.items():
            call = decide_call(
                self.partitions[partition],
                [entry_of(event, self.application.reward.mode) for event in batch],
                max_pending=self.application.model.max_pending,
                tombstone_ms=tombstone_ms,
            )
            assert all(d.status is DecideStatus.OK for d in parse_decide(self.scripts.run(call)))


def session_of(run: int, n: int) -> str:
    """The n-th session of a run."""
    return f"s-{run}-{n}"


def decision_id_of(run: int, n: int, partitions: int) -> str:
    """The id of its decision, of which the draw is a function."""
    return new_decision_id(partition_of_session(session_of(run, n), partitions), BEGAN_MS + n, run << 32 | n)
