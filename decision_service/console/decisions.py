"""The page Decisions: those that are like something, and one with everything that is known of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from decision_service.api.decisions import DecisionView
from decision_service.api.explanations import ExplanationView
from decision_service.console.logged import LogReader
from decision_service.console.replaying import ReplayCheck, draw_again, scores_again
from decision_service.console.stored import StoreSearch
from decision_service.decisions import Decisions, state_of, view_of
from decision_service.errors import BadRequest, FieldError, NotFound, NotReady, Overloaded, ServiceError
from decision_service.explanations import Explanations
from decision_service.service import Service
from sidecar.contracts.application import Application
from sidecar.contracts.errors import BadEvent, BadId
from sidecar.contracts.events import DecisionEvent, decode_decision
from sidecar.contracts.ids import partition_of_decision
from sidecar.contracts.joining import join
from sidecar.contracts.journal import StoredDecision
from sidecar.contracts.looking import LoggedDecision, Sought


class FoundDecision(Struct, frozen=True, kw_only=True):
    """One line of the list."""

    decision_id: str
    decided_at_ms: int
    session_id: str
    unit_id: str
    arm: str
    probability: float
    source: str
    policy: str
    model_version: int
    segment: str | None
    state: str
    reward: float | None
    """Aggregated so far; null is no number."""
    n_rewards: int
    """In it; 0: it is the default."""
    where: str
    """``store``, or ``log``: the store has it no more."""


class DecisionList(Struct, frozen=True, kw_only=True):
    """What a search came to."""

    decisions: list[FoundDecision]
    """The newest first."""
    looked_in_store: int
    """Decisions of the store that were looked at, the newest."""
    more_in_store: bool
    looked_in_log: int | None
    """Rows of the log that were looked through; null: none."""
    log_why_not: str
    """Why the log was not looked into; empty: it was, or need not be."""
    ask_log: bool
    """Only the store was to be looked into (``where=store``), and the log may have more."""


class OneDecision(Struct, frozen=True, kw_only=True):
    """A decision with everything that is known of it."""

    where: str
    decision: DecisionView
    reward: float | None
    n_rewards: int
    explanation: ExplanationView | None
    explanation_why_not: str
    replay: tuple[ReplayCheck, ...]


class DecisionPages:
    """Makes both."""

    def __init__(self, service: Service) -> None:
        self._application = service.application
        self._decisions: Decisions = service.decisions
        self._explanations: Explanations = service.explanations
        self._catalogues = service.catalogues
        self._store = StoreSearch(service.scripts, service.application)
        self._log = LogReader(service.data.log(service.application.name))

    async def search(self, query: Mapping[str, str]) -> DecisionList:
        """Decisions that are as the query says: in the store, and, as far as more are wanted, in the log.

        Raises:
            BadRequest: no such thing can be looked for.
            StoreAway: the store did not answer.
        """
        sought, everywhere = sought_of(query), query.get("where") != "store"
        stored = await self._store.look(sought)
        found = [self._of_store(*one) for one in stored.found]
        why_not, rows = self._log.why_not(), None
        lacks = len(found) < sought.limit and not why_not
        if lacks and everywhere:
            try:
                looked = await self._log.look(sought)
                found, rows = _merged(found, looked.found, sought.limit), looked.rows
            except (NotReady, Overloaded) as error:
                why_not = str(error)
        return DecisionList(
            decisions=found,
            looked_in_store=stored.looked,
            more_in_store=stored.more,
            looked_in_log=rows,
            log_why_not=why_not,
            ask_log=lacks and not everywhere,
        )

    async def one(self, decision_id: str) -> OneDecision:
        """One decision, from the store, else from the log.

        Raises:
            NotFound: neither has it.
            StoreAway: the store did not answer.
        """
        try:
            event, stored = await self._decisions.find_stored(decision_id)
            ids = await self._catalogues.eligible_ids(event)
        except NotFound as error:
            return await self._from_log(decision_id, str(error))
        except BadEvent as error:
            raise NotFound(str(error)) from error
        view = view_of(self._application, event, ids, stored)
        merged = join(stored.rewards, self._application.reward)
        return await self._whole("store", event, ids, view, _finite(merged.value), merged.count)

    async def _from_log(self, decision_id: str, reason: str) -> OneDecision:
        if why_not := self._log.why_not():
            raise NotFound(f"{reason}; {why_not}")
        try:
            partition_of_decision(decision_id, self._application.partitions)
        except BadId as error:
            raise NotFound(str(error)) from error
        looked = await self._log.look(Sought(decision_id=decision_id))
        if not looked.found:
            raise NotFound(f"decision {decision_id} is neither in the store nor in the Parquet log")
        logged = looked.found[0]
        try:
            event = decode_decision(logged.event)
        except BadEvent as error:
            raise NotFound(f"decision {decision_id} of the log cannot be read: {error}") from error
        view = _logged_view(self._application, event, logged)
        return await self._whole("log", event, logged.arms, view, logged.reward, logged.reward_source_n)

    async def _whole(
        self,
        where: str,
        event: DecisionEvent,
        ids: tuple[str, ...],
        view: DecisionView,
        reward: float | None,
        n_rewards: int,
    ) -> OneDecision:
        explained, why_not = None, ""
        try:
            explained = await self._explanations.explain_event(event, ids)
        except ServiceError as error:
            why_not = str(error)
        return OneDecision(
            where=where,
            decision=view,
            reward=reward,
            n_rewards=n_rewards,
            explanation=explained,
            explanation_why_not=why_not,
            replay=(draw_again(event, ids), scores_again(event, explained)),
        )

    def _of_store(self, event: DecisionEvent, stored: StoredDecision) -> FoundDecision:
        merged = join(stored.rewards, self._application.reward)
        return FoundDecision(
            decision_id=event.decision_id,
            decided_at_ms=event.decided_at_ms,
            session_id=event.session_id,
            unit_id=event.unit_id,
            arm=event.arm,
            probability=event.propensity,
            source=event.source,
            policy=event.policy,
            model_version=event.model_version,
            segment=event.segment or None,
            state=state_of(stored),
            reward=_finite(merged.value),
            n_rewards=merged.count,
            where="store",
        )


def sought_of(query: Mapping[str, str]) -> Sought:
    """What a query looks for; what it leaves empty does not restrict.

    Raises:
        BadRequest: no such thing can be looked for.
    """
    given = {name: text.strip() for name, text in query.items() if text.strip() and name != "where"}
    if unknown := sorted(set(query) - set(_LEGAL)):
        raise BadRequest(FieldError(f"/{unknown[0]}", f"legal are {', '.join(_LEGAL)}"))
    if longest := next((name for name, text in given.items() if len(text) > _MOST_CHARACTERS), ""):
        raise BadRequest(FieldError(f"/{longest}", f"legal are {_MOST_CHARACTERS} characters"))
    try:
        return msgspec.convert(given, Sought, strict=False)
    except msgspec.ValidationError as error:
        told, _, path = str(error).partition(" - at `$.")
        raise BadRequest(FieldError(f"/{path.rstrip('`')}", told)) from None


_LEGAL = ("session_id", "unit_id", "arm", "source", "since_ms", "until_ms", "limit", "where")
_MOST_CHARACTERS = 256


def _merged(found: list[FoundDecision], logged: Iterable[LoggedDecision], limit: int) -> list[FoundDecision]:
    """Those of the log that the store has no more, among the others."""
    known = {one.decision_id for one in found}
    more = [_of_log(one) for one in logged if one.decision_id not in known]
    return sorted([*found, *more], key=lambda one: one.decided_at_ms, reverse=True)[:limit]


def _of_log(logged: LoggedDecision) -> FoundDecision:
    return FoundDecision(
        decision_id=logged.decision_id,
        decided_at_ms=logged.decided_at_ms,
        session_id=logged.session_id,
        unit_id=logged.unit_id,
        arm=logged.arm,
        probability=logged.propensity,
        source=logged.source,
        policy=logged.policy,
        model_version=logged.model_version,
        segment=logged.segment or None,
        state="never_activated" if logged.activated is False else "final",
        reward=logged.reward,
        n_rewards=logged.reward_source_n,
        where="log",
    )


def _logged_view(application: Application, event: DecisionEvent, logged: LoggedDecision) -> DecisionView:
    """The log has no single rewards, only what they came to."""
    deferred = logged.activated is False
    stored = StoredDecision(
        logged.event, logged.finalised_at_ms, pending=False, rewards=(), late_rewards=(), deferred=deferred
    )
    view = view_of(application, event, logged.arms, stored)
    slots = [
        replace(slot, reward=slot.reward if reward is None else reward)
        for slot, reward in zip(view.slots, logged.slot_rewards, strict=False)
    ]
    return replace(view, reward=view.reward if logged.reward is None else logged.reward, slots=slots)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
