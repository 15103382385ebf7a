"""All that decisions need beside their requests: made once, when the service starts."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from decision_service.catalogues import Catalogues
from decision_service.decision_lines import DecisionLines
from decision_service.event_log import EventLog
from decision_service.features import FeatureSource
from decision_service.mailbox import Mailbox
from decision_service.prepolicy import Shelves
from decision_service.staleness import Staleness
from decision_service.telemetry import Telemetry
from sidecar.contracts.application import Application, Features
from sidecar.contracts.exploring import Found


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
    lines: DecisionLines | None = None
    """Tells the log of decisions, if anybody does."""
