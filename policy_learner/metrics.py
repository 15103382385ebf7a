"""The learner's figures for Prometheus: its latest status, on a port where the settings name one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import asdict
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from policy_learner.status import Status
from sidecar.contracts.contests import Shown
from sidecar.contracts.learner_report import Judgement, Progressive, WindowFigures, decode

_GAUGES = {
    "version": "Last version published.",
    "examples": "Examples trained on since the model was cold.",
    "lag_ms": "Age of the oldest due decision or example that no published version has seen.",
    "age_ms": "Since the last version was published.",
    "pending": "Decisions that wait for their horizon.",
    "books_decisions": "Decisions missing or doubled; must be 0.",
    "books_rewards": "Rewards missing or doubled; must be 0.",
    "waiting_rows": "Rows read and not yet in a file.",
    "dead_letters": "Entries that could not be learnt.",
    "rebuild_mismatch": "1: weights rebuilt at the start were not the published ones.",
}

_CONTESTS = {
    "difference": "What a challenger earns more a decision than the champion.",
    "lower": "At least, at every moment, but for the error.",
    "upper": "At most, likewise.",
    "decisions": "That say something of both.",
}


class LearnerMetrics(Collector):
    """Holds the latest status, and tells it to whoever asks.

    Args:
        clock: seconds, that go on whatever the store does.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._status: Status | None = None
        self._shown = Shown()
        self._shown_at = clock()

    def show(self, status: Status, shown: Shown) -> None:
        """From now on this."""
        self._status, self._shown, self._shown_at = status, shown, self._clock()

    def collect(self) -> Iterable[Metric]:
        """How long it has not known how it is; its figures, once there are any."""
        yield GaugeMetricFamily(
            "sidearm_learner_silent_seconds",
            "Since the learner last knew how it is: its store, or a replica that it waits for, is away.",
            self._clock() - self._shown_at,
        )
        if self._status is not None:
            yield from (*_metrics(self._status), *_models(self._shown))

    def serve(self, host: str, port: int) -> None:
        """Answer on a port, from a thread of its own.

        Raises:
            OSError: the port is taken.
        """
        registry = CollectorRegistry()
        registry.register(self)
        start_http_server(port, host, registry)


def _metrics(status: Status) -> Iterator[Metric]:
    for name, meaning in _GAUGES.items():
        yield GaugeMetricFamily(f"sidearm_learner_{name}", meaning, getattr(status, name))
    yield CounterMetricFamily(
        "sidearm_learner_gate_refusals", "Publications refused by the gate.", status.gate_refusals
    )
    yield CounterMetricFamily(
        "sidearm_learner_trainer_restarts", "Restarts of the process that runs VW.", status.trainer_restarts
    )
    progressive = decode(status.progressive, Progressive)
    if progressive is not None:
        yield from _windows(progressive)
    judgement = decode(status.gate, Judgement)
    if judgement is not None:
        yield from _gate(judgement)


def _windows(progressive: Progressive) -> Iterator[Metric]:
    """One gauge a figure, labelled by window; what a window cannot tell is left out."""
    windows = {name: asdict(figures) for name, figures in asdict(progressive).items()}
    for figure in WindowFigures.__struct_fields__:
        family = GaugeMetricFamily(
            f"sidearm_learner_progressive_{figure}",
            "Of what was foreseen before it was learnt; sidecar/contracts/learner_report.py says what.",
            labels=["window"],
        )
        for name, figures in windows.items():
            if figures[figure] is not None:
                family.add_metric([name], figures[figure])
        yield family


def _models(shown: Shown) -> Iterator[Metric]:
    """Of each model that scores beside others; and of the contests, the interval."""
    for figure in WindowFigures.__struct_fields__:
        family = GaugeMetricFamily(
            f"sidearm_model_progressive_{figure}",
            "Of what a model scored before it was learnt; sidecar/contracts/learner_report.py says what.",
            labels=["model", "window"],
        )
        for one in shown.models:
            for window, figures in (("by_count", one.progressive), ("by_time", one.by_time)):
                if (value := getattr(figures, figure)) is not None:
                    family.add_metric([one.name, window], value)
        yield family
    for name, meaning in _CONTESTS.items():
        family = GaugeMetricFamily(f"sidearm_contest_{name}", meaning, labels=["challenger"])
        for contest in shown.contests:
            family.add_metric([contest.challenger], getattr(contest, name))
        yield family


def _gate(judgement: Judgement) -> Iterator[Metric]:
    verdict = judgement.verdict
    yield GaugeMetricFamily(
        "sidearm_learner_gate_passed", "1: the gate's latest passed.", int(verdict.passed)
    )
    value = GaugeMetricFamily(
        "sidearm_learner_gate_difference", "Candidate less reference.", labels=["against", "measure"]
    )
    error = GaugeMetricFamily(
        "sidearm_learner_gate_difference_error", "Half its interval.", labels=["against", "measure"]
    )
    for comparison in verdict.comparisons:
        for measure, found in (("reward", comparison.reward), ("auc", comparison.auc)):
            if found is not None:
                value.add_metric([comparison.against, measure], found.value)
                error.add_metric([comparison.against, measure], found.error)
    yield value
    yield error
