"""What the service counts about itself, for Prometheus. Names and meanings are the whole of this file."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from decision_service.tally import Tally
from sidecar.contracts.books import Books
from sidecar.contracts.events import DecisionEvent

log = logging.getLogger("sidearm.decision_service")

_LATENCY_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Telemetry:
    """The figures of one process, in the registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.tally = Tally()
        self._last_reason: type[Exception] | None = None
        self._decisions = Counter(
            "sidearm_decisions", "Decisions logged and answered.", ["source"], registry=registry
        )
        self._cold = Counter(
            "sidearm_decisions_cold", "Decisions before the first publication of weights.", registry=registry
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
        self._excluded = Counter(
            "sidearm_arms_excluded",
            "Arms that rules of the application took out before scoring.",
            registry=registry,
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
        self._rewards = Counter(
            "sidearm_rewards", "Rewards by what became of them.", ["status"], registry=registry
        )
        self._activations = Counter(
            "sidearm_activations", "Activations by what became of them.", ["status"], registry=registry
        )
        self._latency = Histogram(
            "sidearm_request_seconds",
            "From the first byte of a request to its answer.",
            ["endpoint"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._answers = Counter(
            "sidearm_answers",
            "Answers by endpoint and HTTP status.",
            ["endpoint", "status"],
            registry=registry,
        )
        self._version = Gauge(
            "sidearm_model_version", "Weights version of the last scored decision.", registry=registry
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
        self._breaker = Gauge(
            "sidearm_breaker_open",
            "1 while a dependency is left alone because it fails.",
            ["dependency"],
            registry=registry,
        )
        self._admitted = Gauge(
            "sidearm_requests_limit", "Requests that may be under way at once.", registry=registry
        )
        self._catalogue_behind = Gauge(
            "sidearm_catalogue_behind",
            "1 while another version of the catalogue is current than this service decides with.",
            registry=registry,
        )
        self._weights_age = Gauge(
            "sidearm_weights_age_seconds", "Since the last example that the weights know.", registry=registry
        )
        self._under_way = Gauge(
            "sidearm_requests_under_way", "Requests under way, probes not counted.", registry=registry
        )
        self._by_model = Counter(
            "sidearm_official",
            "Decisions by the model whose answer was the official one.",
            ["model"],
            registry=registry,
        )
        self._of_model: dict[str, Counter] = {}
        self._missing = Counter(
            "sidearm_models_missing",
            "Decisions that a model did not answer in time.",
            ["model"],
            registry=registry,
        )
        self._revision = Gauge(
            "sidearm_models_revision",
            "Of the roster of models that this process follows; 0: nobody ever deployed anything.",
            registry=registry,
        )
        self._drift = Gauge(
            "sidearm_canary_drift",
            "How far a canary's scores have moved: 0 not at all, above 0.25 plainly.",
            ["model"],
            registry=registry,
        )
        self._decoy = Counter(
            "sidearm_decoy_inputs",
            "Inputs of a decoy by what became of them.",
            ["model", "fate"],
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
        self._share = Gauge(
            "sidearm_log_share",
            "Share of decisions that is logged: 1 but for overload.",
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
        self._store_up = Gauge("sidearm_store_up", "1 if the store answered this scrape.", registry=registry)
        self._of_answer: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._by_source = {
            source: self._decisions.labels(source) for source in ("model", "pre_policy", "fallback", "import")
        }

    def decided(self, event: DecisionEvent) -> None:
        """A decision was logged."""
        self._by_source[event.source].inc()
        self._answered(event)
        if event.source == "model":
            self._last_reason = None
            self._version.set(event.model_version)
            self._official(event.policy)
        for model in event.missing:
            self._missing.labels(model).inc()
        if event.cold:
            self._cold.inc()

    def _official(self, model: str) -> None:
        child = self._of_model.get(model)
        if child is None:  # looking it up by its label costs more than counting
            child = self._of_model[model] = self._by_model.labels(model)
        child.inc()

    def repeated(self) -> None:
        """A key was used again."""
        self._repeats.inc()

    def excluded(self, arms: int) -> None:
        """Rules of the application took out so many arms."""
        if arms:
            self._excluded.inc(arms)
            self.tally.excluded(arms)

    def mishap(self, node: str, kind: str) -> None:
        """Something went wrong in the application's own code."""
        self._mishaps.labels(node, kind).inc()

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

    def backstop(self, error: Exception) -> None:
        """No scores came, because of ``error``; the log tells the first of a row of equal reasons."""
        if type(error) is not self._last_reason:
            self._last_reason = type(error)
            log.warning("the backstop answers: %s: %s", type(error).__name__, error)
        self._backstop.labels(type(error).__name__).inc()

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

    def admits(self, limit: float) -> None:
        """How many requests may be under way at once."""
        self._admitted.set(limit)

    def catalogue_behind(self, is_behind: float) -> None:
        """Whether another version of the catalogue is current than is served."""
        self._catalogue_behind.set(is_behind)

    def weights_age(self, age_s: float) -> None:
        """How old the weights are that answer."""
        self._weights_age.set(age_s)

    def under_way(self, requests: int) -> None:
        """How many are."""
        self._under_way.set(requests)

    def rewarded(self, status: str) -> None:
        """A reward was taken."""
        self._rewards.labels(status).inc()

    def activated(self, status: str) -> None:
        """An activation was taken."""
        self._activations.labels(status).inc()

    def follows(self, revision: int) -> None:
        """The roster of models has another revision."""
        self._revision.set(revision)

    def drifted(self, canary: str, drift: float) -> None:
        """How far a canary's scores have moved."""
        self._drift.labels(canary).set(drift)

    def decoyed(self, decoy: str, fate: str, inputs: int) -> None:
        """What became of inputs that a decoy took."""
        self._decoy.labels(decoy, fate).inc(inputs)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """A request was answered."""
        children = self._of_answer.get((endpoint, status))
        if children is None:  # looking them up by their labels costs more than counting
            children = self._answers.labels(endpoint, str(status)), self._latency.labels(endpoint)
            self._of_answer[endpoint, status] = children
        children[0].inc()
        children[1].observe(seconds)

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

    def render(self) -> bytes:
        """Prometheus' text format."""
        self._saved.set(self.tally.saved_share)
        return generate_latest(self._registry)
