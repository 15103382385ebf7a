"""One decision, stage by stage: the story of this process.

Prepare, ask the application's rules who is eligible, fetch features, score, make probabilities of the scores,
draw, log, answer. Whatever fails between the request and the draw, an answer comes: the backstop is a policy
like any other, with a true probability; what the store does not take in time is written down beside us.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from decision_service.api.recommendations import Recommendation, RecommendationRequest
from decision_service.choice import choose
from decision_service.decided_event import event_of, slots_asked
from decision_service.decider import Decider
from decision_service.digests import kept_as
from decision_service.errors import KeyReused, SidecarFailed
from decision_service.looks import FirstLook, Resolved
from decision_service.plan import Plan, is_logged, prepare
from decision_service.prepolicy import only, without
from decision_service.rendezvous import named
from decision_service.scored import Scored, backstop, by_rule
from decision_service.telling import told
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import DecisionEvent, decode_decision
from sidecar.contracts.scripts.decide import Decided, DecideStatus
from sidecar.contracts.wire import ScoreRow
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import coin_of
from sidecar.policy.slots import with_slots


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
    pmf = scored.pmf()
    choice = choose(decider, plan, scored, pmf)
    official = scored
    if scored.candidates:
        official = named(scored, choice.index, coin_of(plan.decision_id, decider.secret))
    event = event_of(decider, request, plan, found, official, choice)
    event = with_slots(event, plan.eligible.ids, slots_asked(request))
    decided = await decider.log.append(
        event,
        plan.logged,
        plan.budget.log_time_left(decider.loop_time()),
        kept_as(decider.application.sessions, request),
    )
    return await answer(decider, event, decided, plan.eligible.ids, pmf)


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
