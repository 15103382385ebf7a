"""The decision service with everything but its log: a rung of the ladder, not a way to run it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from decision_service.__main__ import main
from decision_service.event_log import EventLog, ToLog
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.scripts.decide import Decided, DecideStatus


async def _pretend(self: EventLog, asked: Sequence[ToLog], *_: object) -> list[Decided]:
    return [_logged(one.event) for one in asked]


def _logged(event: DecisionEvent) -> Decided:
    return Decided(DecideStatus.OK, event.decision_id, event.decided_at_ms + event.horizon_ms)


if __name__ == "__main__":
    EventLog.append_all = _pretend  # type: ignore[assignment,method-assign]
    sys.exit(main())
