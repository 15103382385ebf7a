"""A decision, looked up: what was decided, why, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from decision_service.api.decisions import ArmView, DecisionView, RewardView, SlotView
from decision_service.batcher import Batcher
from decision_service.catalogues import Catalogues
from decision_service.errors import NotFound
from decision_service.event_log import patiently
from decision_service.spool import Spool
from decision_service.times import utc
from sidecar.contracts import journal
from sidecar.contracts.application import Application, Exploration
from sidecar.contracts.arm_features import features_by_arm
from sidecar.contracts.errors import BadEvent, BadId
from sidecar.contracts.events import DecisionEvent, RewardRecord, decode_decision
from sidecar.contracts.ids import partition_of_decision
from sidecar.contracts.joining import join
from sidecar.contracts.keys import Keys
from sidecar.contracts.opinions import opinions
from sidecar.contracts.slots import rewards_of_slot
from sidecar.contracts.store import AsyncScripts
from sidecar.policy.propensity import pmf_of_event


class Decisions:
    """Looks decisions of one application up; belongs to one event loop.

    Those of one partition that are asked for together share one round trip, so that many readers cannot take
    the connections that deciding needs.
    """

    def __init__(
        self,
        scripts: AsyncScripts,
        application: Application,
        catalogues: Catalogues,
        max_batch: int,
        spool: Spool,
    ) -> None:
        self._spool = spool
        self._scripts = scripts
        self._application = application
        self._catalogues = catalogues
        self._batchers = [
            Batcher(partial(self._read, Keys(application.name, p)), max_batch=max_batch)
            for p in range(application.partitions)
        ]

    async def look_up(self, decision_id: str) -> DecisionView:
        """The decision of that id, from the store: while it is pending, and for a time after.

        Raises:
            NotFound: it was never made here, or is so old that only the Parquet log has it.
            StoreAway: the store did not answer.
        """
        event, stored = await self.find_stored(decision_id)
        ids = await self._catalogues.eligible_ids(event)
        return view_of(self._application, event, ids, stored)

    async def find(self, decision_id: str) -> DecisionEvent:
        """The decision as it was logged.

        Raises:
            NotFound, StoreAway: as :meth:`look_up`.
        """
        return (await self.find_stored(decision_id))[0]

    async def find_stored(self, decision_id: str) -> tuple[DecisionEvent, journal.StoredDecision]:
        """The same, with what the store knows beside.

        Raises:
            NotFound, StoreAway: as :meth:`look_up`.
        """
        try:
            partition = partition_of_decision(decision_id, self._application.partitions)
        except BadId as error:
            raise NotFound(str(error)) from error
        stored = _spooled(self._spool, decision_id) or await self._batchers[partition].ask(decision_id)
        if stored is None:
            raise NotFound(
                f"decision {decision_id} is not in the store: never made, or older than it keeps them "
                f"(`sidearm show {decision_id}` looks into the Parquet log)"
            )
        try:
            event = decode_decision(stored.payload)
        except BadEvent as error:
            raise NotFound(f"decision {decision_id} cannot be read: {error}") from error
        return event, stored

    async def _read(self, keys: Keys, decision_ids: Sequence[str]) -> list[journal.StoredDecision | None]:
        return await patiently(lambda: journal.read_decisions(self._scripts, keys, decision_ids))


def view_of(
    application: Application, event: DecisionEvent, ids: tuple[str, ...], stored: journal.StoredDecision
) -> DecisionView:
    """The public form of a decision among the arms ``ids``."""
    return DecisionView(
        decision_id=event.decision_id,
        session_id=event.session_id,
        unit_id=event.unit_id,
        client_decision_id=event.client_key or None,
        decided_at=utc(event.decided_at_ms),
        reward_until=utc(stored.deadline_ms),
        state=state_of(stored),
        arm=event.arm,
        probability=event.propensity,
        source=event.source,
        policy=event.policy,
        model_version=event.model_version,
        expected=event.expected,
        rank=event.rank,
        cold=event.cold,
        catalogue=event.catalogue,
        exploration=exploration_view(event.exploration),
        segment=event.segment or None,
        context=event.context,
        outcomes=event.outcomes,
        arms=_arms(event, ids),
        models=opinions(event, ids),
        excluded=event.excluded,
        seed=event.seed,
        rewards=[_reward(record) for record in stored.rewards],
        late_rewards=[_reward(record) for record in stored.late_rewards],
        reward=_earned(application, event, stored, 0),
        slots=_slots(application, event, stored),
        mode=stored.mode,
        inclusion_probability=event.inclusion_probability,
    )


def _spooled(spool: Spool, decision_id: str) -> journal.StoredDecision | None:
    """A decision that the store has not heard of yet: its end is told by the service's clock."""
    held = spool.decision(decision_id)
    if held is None or held.event is None:
        return None
    deadline_ms, deferred = held.record.at_ms + held.event.horizon_ms, held.event.deferred
    return journal.StoredDecision(
        held.record.body, deadline_ms, pending=True, rewards=(), late_rewards=(), deferred=deferred
    )


def _slots(application: Application, event: DecisionEvent, stored: journal.StoredDecision) -> list[SlotView]:
    return [
        SlotView(
            arm=slot.arm, probability=slot.propensity, reward=_earned(application, event, stored, number)
        )
        for number, slot in enumerate(event.slots, 1)
    ]


def _earned(
    application: Application, event: DecisionEvent, stored: journal.StoredDecision, slot: int
) -> float:
    arms = (event.arm, *(one.arm for one in event.slots))
    return join(rewards_of_slot(stored.rewards, arms, slot), application.reward).value


_OWN = {"epsilon_greedy": "epsilon", "softmax": "temperature", "squarecb": "gamma"}


def exploration_view(exploration: Exploration) -> dict[str, str | float]:
    """How a decision explored: its scheme, with the parameters that it has."""
    own = [_OWN[exploration.scheme]] if exploration.scheme in _OWN else []
    return {name: getattr(exploration, name) for name in ("scheme", *own, "floor", "control_share")}


def state_of(stored: journal.StoredDecision) -> Literal["deferred", "pending", "final", "never_activated"]:
    """Whether rewards still join it, and whether it counts."""
    if stored.deferred:
        return "deferred" if stored.pending else "never_activated"
    return "pending" if stored.pending else "final"


def _arms(event: DecisionEvent, ids: tuple[str, ...]) -> list[ArmView]:
    """Scores as served, probabilities made of them again; imports know neither."""
    scores = np.frombuffer(event.scores, dtype="<f4")
    pmf = pmf_of_event(event).tolist() if event.scores else [None] * len(ids)
    told = scores.tolist() if event.scores else [None] * len(ids)
    fetched = features_by_arm(event.arm_features, len(ids))
    outcomes = features_by_arm(dict(event.arm_outcomes), len(ids))
    return [
        ArmView(
            arm=arm_id,
            probability=probability,
            score=score,
            features={**event.given_arms.get(arm_id, {}), **features},
            outcomes={node: str(word) for node, word in words.items()},
        )
        for arm_id, probability, score, features, words in zip(ids, pmf, told, fetched, outcomes, strict=True)
    ]


def _reward(record: RewardRecord) -> RewardView:
    return RewardView(
        reward_id=record.key, value=record.value, event=record.event, arm=record.arm, at=utc(record.at_ms)
    )
