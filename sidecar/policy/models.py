"""What scores a request: the model that is served, a base model beneath it, deployed versions beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sidecar.contracts.calibration import Calibration
from sidecar.contracts.weights import Weights
from sidecar.policy.base import BaseModel
from sidecar.policy.panel import Panel
from sidecar.policy.table import SERVED


class Models(NamedTuple):
    """All of them, at one moment."""

    served: Weights | None
    """None: cold."""
    base: BaseModel | None = None
    panels: Sequence[Panel] = ()

    def asked_for(self, versions: Sequence[int]) -> Models:
        """Without the panels of which nobody wants to hear."""
        wanted = set(versions)
        panels = [panel for panel in self.panels if not wanted.isdisjoint(panel.versions)]
        return self._replace(panels=panels)

    def versions(self) -> Iterator[int]:
        """The deployed ones."""
        return (version for panel in self.panels for version in panel.versions)

    def calibrations(self) -> dict[int, Calibration]:
        """What the scores of each model mean, of those that know."""
        known = {SERVED: self.served.header.calibration if self.served is not None else None}
        for panel in self.panels:
            known |= dict(zip(panel.versions, panel.calibrations, strict=True))
        return {version: calibration for version, calibration in known.items() if calibration}
