"""Requests: how many, how long they take, and what became of rewards."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as Metric

from decision_service.figures.counts import Counts, Times
from sidecar.contracts.traffic import EDGES_MS

_LATENCY_S = tuple(edge_ms / 1000 for edge_ms in EDGES_MS)
DECIDING = ("recommend", "personalizer_rank", "personalizer_rank_slots", "ofrep_one")
"""Endpoints whose answer is one decision, or one decision's slots."""


class RequestFigures:
    """Of one process, in the registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._latency = Times(
            "sidearm_request_seconds",
            "From the first byte of a request to its answer.",
            "endpoint",
            _LATENCY_S,
            registry,
        )
        self._answers = Counts(
            "sidearm_answers", "Answers by endpoint and HTTP status.", ("endpoint", "status"), registry
        )
        self._admitted = Gauge(
            "sidearm_requests_limit", "Requests that may be under way at once.", registry=registry
        )
        self._under_way = Gauge(
            "sidearm_requests_under_way", "Requests under way, probes not counted.", registry=registry
        )
        self._rewards = Metric(
            "sidearm_rewards", "Rewards by what became of them.", ["status"], registry=registry
        )
        self._activations = Metric(
            "sidearm_activations", "Activations by what became of them.", ["status"], registry=registry
        )

        self._webhooks = Metric(
            "sidearm_webhooks", "Webhooks by what became of them.", ["status"], registry=registry
        )

    def webhook(self, status: str) -> None:
        """A message of a webhook was delivered, or will not be."""
        self._webhooks.labels(status).inc()

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._answers.add((endpoint, str(status)))
        self._latency.add(endpoint, seconds)

    def times(self) -> Counter[float]:
        """Upper end of a range of milliseconds to how many decisions were answered within it, ever."""
        counts = self._latency.counts(DECIDING)
        return Counter(dict(zip((*EDGES_MS, float("inf")), counts, strict=True)))

    def admits(self, limit: float) -> None:
        """How many requests may be under way at once."""
        self._admitted.set(limit)

    def under_way(self, requests: int) -> None:
        """How many are."""
        self._under_way.set(requests)

    def rewarded(self, status: str) -> None:
        """A reward was taken."""
        self._rewards.labels(status).inc()

    def activated(self, status: str) -> None:
        """An activation was taken."""
        self._activations.labels(status).inc()
