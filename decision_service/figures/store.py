"""The store: whether it is there, what waits for it, its books and its clock."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from sidecar.contracts.books import Books

log = logging.getLogger("sidearm.decision_service")


class StoreFigures:
    """Of one process, in the registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._store_up = Gauge("sidearm_store_up", "1 if the store answered this scrape.", registry=registry)
        self._breaker = Gauge(
            "sidearm_breaker_open",
            "1 while a dependency is left alone because it fails.",
            ["dependency"],
            registry=registry,
        )
        self._spool_records = Gauge(
            "sidearm_spool_records", "What waits beside the service for the store.", registry=registry
        )
        self._spool_bytes = Gauge("sidearm_spool_bytes", "Its size.", registry=registry)
        self._drained = Counter(
            "sidearm_spool_drained",
            "Spooled records by what became of them; refused, too_old: not in the log.",
            ["kind", "status"],
            registry=registry,
        )
        self._imbalance = Gauge(
            "sidearm_books_imbalance",
            "Decisions or rewards missing (positive) or doubled (negative); must be 0.",
            ["kind", "partition"],
            registry=registry,
        )
        self._pending = Gauge(
            "sidearm_decisions_pending",
            "Decisions waiting for their horizon.",
            ["partition"],
            registry=registry,
        )
        self._ahead = Gauge(
            "sidearm_store_clock_ahead_seconds",
            "The store's clock minus this service's: a jump of either shows here.",
            registry=registry,
        )
        self._behind = Gauge(
            "sidearm_store_clock_behind_seconds",
            "How far the store's clock went back: no horizon ends until it has caught up.",
            ["partition"],
            registry=registry,
        )

        self._memory = Gauge(
            "sidearm_store_memory_bytes", "Memory that the store uses, at the last look.", registry=registry
        )
        self._memory_limit = Gauge(
            "sidearm_store_memory_limit_bytes",
            "Memory that it may use at most, its `maxmemory`; 0: it has no limit, and nobody sees it coming.",
            registry=registry,
        )

    def memory(self, used_bytes: int, limit_bytes: int) -> None:
        """What the store uses, and may use; 0: it has no limit."""
        self._memory.set(used_bytes)
        self._memory_limit.set(limit_bytes)

    def spool(self, records: int, size_bytes: int) -> None:
        """What waits for the store."""
        self._spool_records.set(records)
        self._spool_bytes.set(size_bytes)

    def drained(self, kind: str, status: str) -> None:
        """A spooled record was sent, or never will be."""
        self._drained.labels(kind, status).inc()

    def breaker(self, dependency: str, is_open: float) -> None:
        """A breaker opened (1) or closed (0)."""
        self._breaker.labels(dependency).set(is_open)

    def balance(self, books: Mapping[int, Books] | None, pending: Mapping[int, int]) -> None:
        """The books by partition, as the store has them; None when it did not answer."""
        self._store_up.set(books is not None)
        for partition, book in (books or {}).items():
            self._imbalance.labels("decisions", str(partition)).set(book.decisions)
            self._imbalance.labels("rewards", str(partition)).set(book.rewards)
            self._pending.labels(str(partition)).set(pending[partition])

    def clocks(self, ahead_ms: int, behind_ms: Mapping[int, int]) -> None:
        """The store's clock: how far it is ahead of ours, and behind itself, by partition."""
        self._ahead.set(ahead_ms / 1000)
        for partition, ms in behind_ms.items():
            self._behind.labels(str(partition)).set(ms / 1000)
