"""A decision as an event: all that was seen and done."""

from __future__ import annotations

from decision_service.api.recommendations import RecommendationRequest
from decision_service.choice import Choice
from decision_service.decider import Decider
from decision_service.digests import digest_of
from decision_service.looks import Resolved
from decision_service.plan import Plan
from decision_service.rendezvous import candidates_of
from decision_service.scored import Scored
from sidecar.contracts.arm_features import Columns
from sidecar.contracts.events import DecisionEvent


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
