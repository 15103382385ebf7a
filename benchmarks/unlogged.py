"""The decision service with everything but its log: a rung of the ladder, not a way to run it."""

from __future__ import annotations

import sys

from decision_service.__main__ import main
from decision_service.event_log import EventLog
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.scripts.decide import Decided, DecideStatus


async def _pretend(self: EventLog, event: DecisionEvent, *_: object) -> Decided:
    return Decided(DecideStatus.OK, event.decision_id, event.decided_at_ms + event.horizon_ms)


if __name__ == "__main__":
    EventLog.append = _pretend  # type: ignore[assignment,method-assign]
    sys.exit(main())
