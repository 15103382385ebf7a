"""What the service counts about itself, for Prometheus; the figures are in ``figures``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from decision_service.figures.decisions import DecisionFigures
from decision_service.figures.models import ModelFigures
from decision_service.figures.propensities import PropensityFigures
from decision_service.figures.requests import RequestFigures
from decision_service.figures.store import StoreFigures
from sidecar.contracts.events import DecisionEvent

if TYPE_CHECKING:
    from decision_service.tracing import Tracing


class Telemetry(DecisionFigures, ModelFigures, RequestFigures, StoreFigures):
    """The figures of one process, in the registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.tracing: Tracing | None = None
        DecisionFigures.__init__(self, registry)
        ModelFigures.__init__(self, registry)
        RequestFigures.__init__(self, registry)
        StoreFigures.__init__(self, registry)
        self._propensities = PropensityFigures(registry)

    def decided(self, event: DecisionEvent) -> None:
        """A decision was logged."""
        DecisionFigures.decided(self, event)
        self.scored(event)
        self._propensities.drawn(event)

    def render(self) -> bytes:
        """Prometheus' text format."""
        self.share_saved()
        return generate_latest(self._registry)
