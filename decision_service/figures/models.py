"""Models: whose weights answered, how old they are, and who is silent or has moved."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from decision_service.figures.counts import Counts
from sidecar.contracts.events import DecisionEvent


class ModelFigures:
    """Of one process, in the registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._version = Gauge(
            "sidearm_model_version", "Weights version of the last scored decision.", registry=registry
        )
        self._weights_age = Gauge(
            "sidearm_weights_age_seconds", "Since the last example that the weights know.", registry=registry
        )
        self._last_version = 0
        self._version.set_function(lambda: self._last_version)
        self._by_model = Counts(
            "sidearm_official",
            "Decisions by the model whose answer was the official one.",
            ("model",),
            registry,
        )
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
        self._catalogue_behind = Gauge(
            "sidearm_catalogue_behind",
            "1 while another version of the catalogue is current than this service decides with.",
            registry=registry,
        )

    def scored(self, event: DecisionEvent) -> None:
        """A decision was logged: whose it is, and who was silent."""
        if event.source == "model":
            self._last_version = event.model_version
            self._by_model.add((event.policy,))
        for model in event.missing:
            self._missing.labels(model).inc()

    def weights_age(self, age_s: float) -> None:
        """How old the weights are that answer."""
        self._weights_age.set(age_s)

    def follows(self, revision: int) -> None:
        """The roster of models has another revision."""
        self._revision.set(revision)

    def drifted(self, canary: str, drift: float) -> None:
        """How far a canary's scores have moved."""
        self._drift.labels(canary).set(drift)

    def decoyed(self, decoy: str, fate: str, inputs: int) -> None:
        """What became of inputs that a decoy took."""
        self._decoy.labels(decoy, fate).inc(inputs)

    def catalogue_behind(self, is_behind: float) -> None:
        """Whether another version of the catalogue is current than is served."""
        self._catalogue_behind.set(is_behind)
