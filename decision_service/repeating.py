"""From a decision that was logged, or stood in the log already, to what its caller is told."""

from __future__ import annotations

from decision_service.api.recommendations import Recommendation
from decision_service.case import Case
from decision_service.decider import Decider
from decision_service.errors import KeyReused
from decision_service.telling import told
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import decode_decision
from sidecar.contracts.scripts.decide import DecideStatus
from sidecar.policy.propensity import pmf_of_event


def answer(decider: Decider, case: Case) -> Recommendation | None:
    """What the caller is told; None where it is to be told again what it was told the first time.

    Raises:
        KeyReused: the key was used with another body.
    """
    event, decided, ids, pmf = case.event, case.decided, case.plan.eligible.ids, case.pmf
    match decided.status:
        case DecideStatus.CONFLICT:
            raise KeyReused(f"decision_id {event.client_key!r} was used in this session with another body")
        case DecideStatus.DUP | DecideStatus.FIN if decided.decision_id != event.decision_id:
            return None
        case DecideStatus.FULL | DecideStatus.SHED:
            decider.telemetry.unlogged(event, decided.status)
            return told(event, ids, pmf, event.source, None)
        case _:
            decider.telemetry.decided(event)
            return told(event, ids, pmf, event.source, decided.deadline_ms)


async def repeat(decider: Decider, case: Case) -> Recommendation:
    """The stored decision, as it was answered then.

    Raises:
        KeyReused: it is so old that it is not kept any more, or it cannot be read.
    """
    event, decided = case.event, case.decided
    decider.telemetry.repeated()
    try:
        stored = decode_decision(decided.payload or b"")
    except BadEvent as error:
        raise KeyReused(
            f"decision_id {event.client_key!r} was answered before, as {decided.decision_id}, "
            "and that answer is not kept any more"
        ) from error
    ids = await decider.catalogues.eligible_ids(stored)
    return told(stored, ids, pmf_of_event(stored), "repeat", decided.deadline_ms)
