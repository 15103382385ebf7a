"""From a decision that was logged, or stood in the log already, to what its caller is told."""

from __future__ import annotations

import asyncio

from decision_service.api.recommendations import Recommendation
from decision_service.case import Case
from decision_service.decider import Decider
from decision_service.errors import KeyReused, StoreAway
from decision_service.telling import told
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import decode_decision
from sidecar.contracts.scripts.decide import DecideStatus
from sidecar.policy.propensity import pmf_of_event


def answer(decider: Decider, case: Case) -> None:
    """What the caller is told; nothing yet where it is to be told again what it was told the first time.

    Raises:
        KeyReused: the key was used with another body.
    """
    event, decided, ids, pmf = case.event, case.decided, case.plan.eligible.ids, case.pmf
    match decided.status:
        case DecideStatus.CONFLICT:
            raise KeyReused(f"decision_id {event.client_key!r} was used in this session with another body")
        case DecideStatus.DUP | DecideStatus.FIN if decided.decision_id != event.decision_id:
            return
        case DecideStatus.FULL | DecideStatus.SHED:
            decider.telemetry.unlogged(event, decided.status)
            case.outcome = told(event, ids, pmf, event.source, None)
        case _:
            decider.telemetry.decided(event)
            case.outcome = told(event, ids, pmf, event.source, decided.deadline_ms)


async def repeat(decider: Decider, case: Case, left_s: float) -> None:
    """The stored decision, as it was answered then; or why there is none, which is no matter of others."""
    try:
        async with asyncio.timeout(left_s):
            case.outcome = await _repeated(decider, case)
    except TimeoutError:
        case.outcome = StoreAway("the catalogue of the decision that stands could not be read in time")
    except Exception as error:
        case.outcome = error


async def _repeated(decider: Decider, case: Case) -> Recommendation:
    """As it was answered then.

    Raises:
        KeyReused: it is so old that it is not kept any more, or it cannot be read.
        StoreAway: its catalogue cannot be read just now.
        BadEvent: nobody knows its catalogue any more.
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
