"""Decisions: who answered them, what was left out, and what went wrong on the way."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry, Counter, Gauge

from decision_service.figures.counts import Counts
from decision_service.tally import Tally
from sidecar.contracts.events import DecisionEvent

log = logging.getLogger("sidearm.decision_service")


_SOURCES = (("model",), ("pre_policy",), ("fallback",), ("import",))


class DecisionFigures:
    """Of one process, in the registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tally = Tally()
        self._last_reason: type[Exception] | None = None
        self._decisions = Counts(
            "sidearm_decisions", "Decisions logged and answered.", ("source",), registry, _SOURCES
        )
        self._cold = Counts(
            "sidearm_decisions_cold",
            "Decisions before the first publication of weights.",
            (),
            registry,
            ((),),
        )
        self._repeats = Counter(
            "sidearm_decisions_repeated", "Requests answered with a stored decision.", registry=registry
        )
        self._shed = Counter(
            "sidearm_decisions_shed",
            "Decisions answered but not logged: FULL, the store refused; SHED, overload left them out of the"
            " share; RULE, a rule answered and they are not in its share.",
            ["reason"],
            registry=registry,
        )
        self._share = Gauge(
            "sidearm_log_share",
            "Share of decisions that is logged: 1 but for overload.",
            ["partition"],
            registry=registry,
        )
        self._ruled = Counter(
            "sidearm_pre_policy",
            "Decisions that a rule of the application answered, by rule; logged or not.",
            ["rule"],
            registry=registry,
        )
        self._saved = Gauge(
            "sidearm_saved_share",
            "Share of this process's decisions that a rule answered, and no model was asked for.",
            registry=registry,
        )
        self._excluded = Counts(
            "sidearm_arms_excluded",
            "Arms that rules of the application took out before scoring.",
            (),
            registry,
            ((),),
        )
        self._mishaps = Counter(
            "sidearm_node_mishaps",
            "Nodes of the feature graph and rules that failed, timed_out, fell back (fallback), gave what can"
            " be used for nothing (unusable), or held up everybody else (blocked).",
            ["node", "kind"],
            registry=registry,
        )
        self._backstop = Counter(
            "sidearm_backstop", "Why the backstop answered.", ["reason"], registry=registry
        )

    def decided(self, event: DecisionEvent) -> None:
        """A decision was logged."""
        self._decisions.add((event.source,))
        self._answered(event)
        if event.source == "model":
            self._last_reason = None
        if event.cold:
            self._cold.add()

    def repeated(self) -> None:
        """A key was used again."""
        self._repeats.inc()

    def unlogged(self, event: DecisionEvent, reason: str) -> None:
        """A decision was answered without being logged."""
        self._shed.labels("RULE" if event.rule and reason == "SHED" else reason).inc()
        self._answered(event)

    def _answered(self, event: DecisionEvent) -> None:
        self.tally.count(event)
        if event.rule:
            self._ruled.labels(event.rule).inc()

    def share(self, partition: int, share: float) -> None:
        """The share of a partition's decisions that is logged."""
        self._share.labels(str(partition)).set(share)

    def excluded(self, arms: int) -> None:
        """Rules of the application took out so many arms."""
        if arms:
            self._excluded.add((), arms)
            self.tally.excluded(arms)

    def mishap(self, node: str, kind: str) -> None:
        """Something went wrong in the application's own code."""
        self._mishaps.labels(node, kind).inc()

    def backstop(self, error: Exception) -> None:
        """No scores came, because of ``error``; the log tells the first of a row of equal reasons."""
        if type(error) is not self._last_reason:
            self._last_reason = type(error)
            log.warning("the backstop answers: %s: %s", type(error).__name__, error)
        self._backstop.labels(type(error).__name__).inc()

    def share_saved(self) -> None:
        """Bring the share of decisions that rules answered up to date."""
        self._saved.set(self.tally.saved_share)
