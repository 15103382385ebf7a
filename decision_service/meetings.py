"""What models are asked about a decision, and whether what they say may be used."""

from __future__ import annotations

from msgspec import structs

from decision_service.case import Case
from decision_service.decider import Decider
from decision_service.errors import SidecarFailed
from decision_service.mailbox import Meeting
from decision_service.scored import Scored, backstop
from sidecar.contracts.wire import ScoreRow


def meeting_of(decider: Decider, case: Case) -> Meeting:
    """The row to be scored, of which arms, and how the decision explores."""
    plan, found = case.plan, case.found
    row = ScoreRow(found.context, plan.eligible.places, plan.eligible.arms, arm_features=found.arm_features)
    if case.traced is not None:
        row = structs.replace(row, trace=case.traced.together.stage_word)
    exploration = decider.staleness.explores(plan.explores.exploration)
    return Meeting(plan.decision_id, row, plan.eligible, exploration)


def usable(decider: Decider, case: Case, said: Scored | Exception) -> Scored:
    """What models said, if it may be used; else the backstop's word."""
    try:
        if isinstance(said, Exception):
            raise said
        decider.staleness.check()
    except (SidecarFailed, TimeoutError) as error:
        decider.telemetry.backstop(error)
        return backstop(len(case.plan.eligible.ids), decider.models.names())
    return said
