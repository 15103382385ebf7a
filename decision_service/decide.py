"""One decision, stage by stage: the story of this process.

Prepare, ask the application's rules who is eligible, fetch features, score, make probabilities of the scores,
draw, log, answer. Whatever fails between the request and the draw, an answer comes: the backstop is a policy
like any other, with a true probability; what the store does not take in time is written down beside us.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Struct
from msgspec.structs import replace

from decision_service.api import AnswerSource, RankedArm, Recommendation, RecommendationRequest
from decision_service.budget import Budget, budget_of
from decision_service.catalogues import Catalogues
from decision_service.errors import BadRequest, FieldError, KeyReused, SidecarFailed
from decision_service.event_log import EventLog
from decision_service.features import FeatureSource, FirstLook, Resolved
from decision_service.horizon import horizon_ms_of
from decision_service.mailbox import Mailbox
from decision_service.prepolicy import Eligible, Shelves, eligible, only, without
from decision_service.rendezvous import candidates_of, named
from decision_service.scored import BACKSTOP, Scored, backstop, by_rule
from decision_service.staleness import Staleness
from decision_service.telemetry import Telemetry
from decision_service.times import utc
from sidecar.contracts.application import Application, Features
from sidecar.contracts.arm_features import Columns
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import DecisionEvent, decode_decision
from sidecar.contracts.exploring import Found
from sidecar.contracts.ids import has_our_form, new_decision_id, partition_of_session
from sidecar.contracts.scripts.decide import Decided, DecideStatus
from sidecar.contracts.wire import ScoreRow
from sidecar.policy.propensity import mixture, pmf_of_event
from sidecar.policy.sampling import coin_of, draw, is_kept, seed_of
from sidecar.policy.slots import with_slots


class Decider(Struct, frozen=True):
    """All that a decision needs beside the request."""

    application: Application
    shelves: Shelves
    features: FeatureSource
    models: Mailbox
    log: EventLog
    catalogues: Catalogues
    telemetry: Telemetry
    share: Callable[[int], float]
    """The share of a partition's decisions that is logged: 1 but for overload."""
    explore: Callable[[Features, str], Found]
    """How a decision explores, by its context as scored and its unit."""
    staleness: Staleness
    deadline_ms: int
    secret: bytes
    """Key of the draw: nobody who chooses ids can choose arms."""
    now_ms: Callable[[], int]
    """Wall clock, recorded only."""
    loop_time: Callable[[], float]
    """Seconds of a clock that never jumps: deadlines."""
    entropy: Callable[[], int]
    """64 random bits."""


async def decide(decider: Decider, request: RecommendationRequest) -> Recommendation:
    """Choose an arm for ``request``, log the decision, and answer.

    Raises:
        BadRequest: the arms or the key cannot be used.
        NothingEligible: every arm is excluded.
        KeyReused: the client's key was used with another body.
    """
    plan = prepare(decider, request)
    first = await decider.features.first_look(request, plan.eligible, plan.budget.deadline_at)
    plan = pre_policy(decider, request, plan, first)
    if first is not None and plan.rule:
        found, scored = first.alone(request), by_rule(plan.rule, len(plan.eligible.ids))
    else:
        found = await decider.features.resolve(request, plan.eligible, plan.budget.deadline_at, first)
        plan = explored(decider, plan, found)
        scored = await score(decider, plan, found)
    pmf = mixture(scored.parts())
    choice = choose(decider, plan, pmf)
    official = named(scored, choice.index, coin_of(plan.decision_id, decider.secret))
    event = event_of(decider, request, plan, found, official, choice)
    event = with_slots(event, plan.eligible.ids, slots_asked(request))
    decided = await decider.log.append(
        event, plan.logged, plan.budget.log_time_left(decider.loop_time()), kept_as(request)
    )
    return await answer(decider, event, decided, plan.eligible.ids, pmf)


class Plan(Struct, frozen=True):
    """What is known before features are fetched."""

    decision_id: str
    decided_at_ms: int
    budget: Budget
    """Its deadline, on the loop's clock."""
    eligible: Eligible
    horizon_ms: int
    share: float
    """The probability with which decisions like this one are logged."""
    logged: bool
    """Whether this one is."""
    unit_id: str
    rule: str = ""
    """Of the application, that answers this decision; empty: none does."""
    explores: Found = Found("", BACKSTOP)
    """Its segment, and how a model's scores become probabilities."""


def prepare(decider: Decider, request: RecommendationRequest) -> Plan:
    """Fix the id, the deadline and the eligible arms.

    Raises:
        BadRequest: an arm stands twice, the client's key could be mistaken for one of our ids, or the horizon
            is longer than the longest.
        NothingEligible: every arm is excluded.
    """
    if request.decision_id is not None and has_our_form(request.decision_id):
        raise BadRequest(
            FieldError("/decision_id", "has the form of this platform's own ids; choose another")
        )
    now_ms = decider.now_ms()
    partition = partition_of_session(request.session_id, decider.application.partitions)
    decision_id, share = new_decision_id(partition, now_ms, decider.entropy()), decider.share(partition)
    return Plan(
        decision_id,
        now_ms,
        budget_of(decider.loop_time(), request.deadline_ms or decider.deadline_ms),
        eligible(request, decider.shelves.current),
        horizon_ms_of(request.horizon_s, decider.application.reward),
        share,
        is_logged(decider, request, decision_id, share),
        request.unit_id or request.session_id,
    )


def is_logged(decider: Decider, request: RecommendationRequest, decision_id: str, share: float) -> bool:
    """Whether a decision is among the share that is logged."""
    return share >= 1.0 or is_kept(_coin(request, decision_id), share, decider.secret)


def _coin(request: RecommendationRequest, decision_id: str) -> str:
    """What the coin of inclusion is thrown by: a request that is repeated has no second chance."""
    return f"{request.session_id}\x1f{request.decision_id}" if request.decision_id else decision_id


def pre_policy(decider: Decider, request: RecommendationRequest, plan: Plan, first: FirstLook | None) -> Plan:
    """Take out what the application's rules exclude; what one of them answers at once needs no model.

    Raises:
        NothingEligible: they exclude every arm.
    """
    if first is None or not (first.excluded or first.answers):
        return plan
    left = without(plan.eligible, first.excluded)
    decider.telemetry.excluded(len(plan.eligible.ids) - len(left.ids))
    for rule, arms in first.answers:
        if (answered := only(left, arms)) is not None:
            share = plan.share * decider.application.rules.log_share
            logged = is_logged(decider, request, plan.decision_id, share)
            return replace(plan, eligible=answered, rule=rule, share=share, logged=logged)
    return replace(plan, eligible=left)


def explored(decider: Decider, plan: Plan, found: Resolved) -> Plan:
    """Say how the decision explores: by its segment, which may ask for any feature of the context."""
    return replace(plan, explores=decider.explore(found.context, plan.unit_id))


async def score(decider: Decider, plan: Plan, found: Resolved) -> Scored:
    """The models' scores, or the backstop's when none come in time."""
    arms = plan.eligible
    row = ScoreRow(found.context, arms.places, arms.arms, arm_features=found.arm_features)
    try:
        left_s = plan.budget.score_by - decider.loop_time()
        exploration = decider.staleness.explores(plan.explores.exploration)
        scored = await decider.models.meet(plan.decision_id, row, arms, exploration, left_s)
        decider.staleness.check()
        return scored
    except (SidecarFailed, TimeoutError) as error:
        decider.telemetry.backstop(error)
        return backstop(len(arms.ids), decider.models.names())


class Choice(Struct, frozen=True):
    """What was drawn."""

    index: int
    propensity: float
    seed: int


def choose(decider: Decider, plan: Plan, pmf: npt.NDArray[np.float64]) -> Choice:
    """Draw from ``pmf`` with a seed that is a keyed hash of the decision's id: anybody can draw it again."""
    seed = seed_of(plan.decision_id, decider.secret)
    index = draw(pmf, seed)
    return Choice(index, float(pmf[index]), seed)


def event_of(
    decider: Decider,
    request: RecommendationRequest,
    plan: Plan,
    found: Resolved,
    scored: Scored,
    choice: Choice,
) -> DecisionEvent:
    """All that was seen and done, as it will be stored."""
    arms = plan.eligible
    return DecisionEvent(
        decision_id=plan.decision_id,
        session_id=request.session_id,
        unit_id=plan.unit_id,
        decided_at_ms=plan.decided_at_ms,
        horizon_ms=plan.horizon_ms,
        source=scored.source,
        policy=scored.policy,
        model_version=scored.model_version,
        catalogue=arms.shelf.catalogue.version,
        context=found.context,
        outcomes=found.outcomes | base_outcome(scored),
        arms=arms.logged,
        given_arms=arms.given,
        scores=scored.values.tobytes(),
        exploration=scored.exploration,
        arm=arms.ids[choice.index],
        arm_index=choice.index,
        propensity=choice.propensity,
        inclusion_probability=plan.share or 1.0,
        seed=str(choice.seed),
        client_key=request.decision_id or "",
        digest=digest_of(request) if request.decision_id else "",
        limit=len(arms.ids) if request.limit == "all" else request.limit,
        excluded=arms.excluded,
        cold=scored.cold,
        arm_features=found.arm_features | base_features(scored),
        arm_outcomes=found.arm_outcomes,
        deferred=request.deferred,
        expected=None if scored.expected is None else float(scored.expected[choice.index]),
        rank=None if scored.ranks is None else float(scored.ranks[choice.index]),
        learn=not plan.rule,
        segment=plan.explores.segment,
        rule=plan.rule,
        official_probability=scored.probability,
        candidates=candidates_of(scored),
        shadows=scored.shadows,
        missing=scored.missing,
    )


def slots_asked(request: RecommendationRequest) -> int:
    """How many arms are to be shown. Who wants to see the ranking of all of them shows one."""
    return 1 if request.limit == "all" else request.limit


def base_outcome(scored: Scored) -> dict[str, str]:
    """Which base model's scores are among the arms' features."""
    return {} if scored.base is None else {scored.base.feature: scored.base.outcome}


def base_features(scored: Scored) -> Columns:
    """Those scores: the model has seen them, so whoever learns from the decision must."""
    return {} if scored.base is None else {scored.base.feature: scored.base.scores}


_FIRST_FORM = ("session_id", "unit_id", "decision_id", "context", "arms", "exclude", "limit", "deadline_ms")
"""Fields that the digest holds whatever they are; later ones only where they say something, so that a request
has the same digest before and after an upgrade."""
_Asked = msgspec.defstruct("_Asked", _FIRST_FORM)
_LATER = {
    field.name: field.default
    for field in msgspec.structs.fields(RecommendationRequest)
    if field.name not in _FIRST_FORM
}


def digest_of(request: RecommendationRequest) -> str:
    """Two requests with the same digest ask the same; how long they are ready to wait is no part of it."""
    asked = msgspec.structs.replace(request, deadline_ms=None)
    body = msgspec.json.encode(_Asked(*(getattr(asked, f) for f in _FIRST_FORM)), order="deterministic")
    if later := {f: getattr(asked, f) for f, default in _LATER.items() if getattr(asked, f) != default}:
        body += msgspec.json.encode(later, order="deterministic")
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def kept_as(request: RecommendationRequest) -> str:
    """What a session asks for, whatever the context is meanwhile; empty where the client repeats by a key."""
    if request.decision_id is not None:
        return ""
    arms = request.arms and [arm if isinstance(arm, str) else arm.id for arm in request.arms]
    asked = (request.unit_id, arms, request.exclude, request.limit, request.horizon_s, request.deferred)
    return hashlib.blake2b(msgspec.json.encode(asked), digest_size=12).hexdigest()


async def answer(
    decider: Decider,
    event: DecisionEvent,
    decided: Decided,
    ids: tuple[str, ...],
    pmf: npt.NDArray[np.float64],
) -> Recommendation:
    """What the caller is told, of the arms ``ids``; for a repeated key, what it was told the first time.

    Raises:
        KeyReused: the key was used with another body, or so long ago that its answer is gone.
    """
    match decided.status:
        case DecideStatus.CONFLICT:
            raise KeyReused(f"decision_id {event.client_key!r} was used in this session with another body")
        case DecideStatus.DUP | DecideStatus.FIN if decided.decision_id != event.decision_id:
            return await repeat(decider, event, decided)
        case DecideStatus.FULL | DecideStatus.SHED:
            decider.telemetry.unlogged(event, decided.status)
            return told(event, ids, pmf, event.source, None)
        case _:
            decider.telemetry.decided(event)
            return told(event, ids, pmf, event.source, decided.deadline_ms)


async def repeat(decider: Decider, event: DecisionEvent, decided: Decided) -> Recommendation:
    """The stored decision, as it was answered then.

    Raises:
        KeyReused: it is so old that it is not kept any more, or it cannot be read.
    """
    decider.telemetry.repeated()
    try:
        stored = decode_decision(decided.payload or b"")
    except BadEvent as error:
        raise KeyReused(
            f"decision_id {event.client_key!r} was answered before, as {decided.decision_id}, "
            "and that answer is not kept any more"
        ) from error
    ids = await decider.catalogues.eligible_ids(stored)
    pmf = pmf_of_event(stored)
    return told(stored, ids, pmf, "repeat", decided.deadline_ms)


def told(
    event: DecisionEvent,
    ids: tuple[str, ...],
    pmf: npt.NDArray[np.float64],
    source: AnswerSource,
    deadline_ms: int | None,
) -> Recommendation:
    """The public form of a decision over the eligible ``ids``; without a deadline it was not logged."""
    return Recommendation(
        decision_id=event.decision_id,
        session_id=event.session_id,
        arm=event.arm,
        probability=event.propensity,
        ranking=ranking(event, ids, pmf),
        source=source,
        policy=event.policy,
        model_version=event.model_version,
        expected=UNSET if event.expected is None else event.expected,
        rank=UNSET if event.rank is None else event.rank,
        logged=deadline_ms is not None,
        reward_until=None if deadline_ms is None else utc(deadline_ms),
    )


def ranking(event: DecisionEvent, ids: tuple[str, ...], pmf: npt.NDArray[np.float64]) -> list[RankedArm]:
    """The arms to be shown, slot by slot; where all were asked for, all by score, equal ones in order."""
    scores = np.frombuffer(event.scores, dtype="<f4")
    if event.limit == 1 or event.slots:
        first = RankedArm(event.arm, event.propensity, float(scores[event.arm_index]))
        return [
            first,
            *(RankedArm(one.arm, one.propensity, float(scores[one.arm_index])) for one in event.slots),
        ]
    best = np.argsort(-scores, kind="stable")[: event.limit]
    return [RankedArm(ids[place], float(pmf[place]), float(scores[place])) for place in best]
