"""Whether logged probabilities have mass: what a policy that shows every arm alike would weigh in the log.

A decision among ``K`` arms whose arm was drawn with probability ``p`` weighs ``w = 1 / (K p)`` in the
estimate of that policy. Where every logged ``p`` is the probability with which the draw was really made, and
no arm is out of reach, the mean of ``w`` is 1. It is not where the draw does not do what is logged, and where
arms that were eligible could not be drawn: no estimate from such a log is right. ``sum (w - 1)^2`` says how
far from 1 chance alone may take it. Sums over processes, hours and replicas are Prometheus' business.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily

from sidecar.contracts.events import DecisionEvent

TINY = 0.001
"""A smaller probability makes one decision weigh more than a thousand others."""
_BYTES_A_SCORE = 4
_MEANINGS = {
    "sidearm_propensity_decisions": "Decisions logged whose arm was drawn by its probability.",
    "sidearm_propensity_weight": "Sum of their weights in an estimate of the uniform policy, 1 / (arms *"
    " probability); it grows as their number does, or logged probabilities are not those of the draw.",
    "sidearm_propensity_weight_squares": "Sum of the squares of those weights: how far chance takes their"
    " mean from 1.",
    "sidearm_propensity_tiny": f"Those whose arm had a probability below {TINY:g}: each outweighs a thousand"
    " others.",
}


class PropensityFigures:
    """Of one process, in the registry that is handed in; counted by the one thread of its event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._drawn = self._tiny = 0
        self._weight = self._squares = 0.0
        registry.register(self)

    def drawn(self, event: DecisionEvent) -> None:
        """A decision was logged. What a rule answered, and what was scored by nobody, was not drawn."""
        arms = len(event.scores) // _BYTES_A_SCORE
        if event.rule or not arms:
            return
        weight = 1.0 / (arms * event.propensity)
        self._drawn += 1
        self._weight += weight
        self._squares += weight * weight
        self._tiny += event.propensity < TINY

    def describe(self) -> list[CounterMetricFamily]:
        """Called by the registry."""
        return [CounterMetricFamily(name, meaning) for name, meaning in _MEANINGS.items()]

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Called by the registry."""
        told = (self._drawn, self._weight, self._squares, self._tiny)
        for family, value in zip(self.describe(), told, strict=True):
            family.add_metric((), value)
            yield family
