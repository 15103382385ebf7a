"""What is known of a decision before its features are fetched."""

from __future__ import annotations

from msgspec import Struct

from decision_service.api.recommendations import RecommendationRequest
from decision_service.decider import Decider
from decision_service.errors import BadRequest, FieldError
from decision_service.horizon import horizon_ms_of
from decision_service.prepolicy import Eligible, eligible
from decision_service.scored import BACKSTOP
from sidecar.contracts.exploring import Found
from sidecar.contracts.ids import has_our_form, new_decision_id, partition_of_session
from sidecar.policy.sampling import is_kept


class Plan(Struct):
    """What is known before features are fetched; rules and segments may still change it."""

    decision_id: str
    decided_at_ms: int
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
    """Fix the id and the eligible arms.

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
