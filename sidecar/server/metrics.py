"""The sidecar's figures in Prometheus' text format, by hand: no library for a dozen numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from sidecar.server.weight_store import WeightStore

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)


@dataclass
class Metrics:
    """What the score endpoint counted since the process started."""

    calls: int = 0
    rows: int = 0
    refused: int = 0
    unknown_catalogue: int = 0
    violations: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKETS_S))

    def count(self, rows: int, seconds: float) -> None:
        """One call that was answered."""
        self.calls += 1
        self.rows += rows
        self.seconds += seconds
        place = bisect_left(BUCKETS_S, seconds)
        if place < len(BUCKETS_S):
            self.buckets[place] += 1


def render(metrics: Metrics, weights: WeightStore, now_s: float) -> str:
    """The exposition text; ``now_s`` is the wall clock, for the age of the weights."""
    return "\n".join(_lines(metrics, weights, now_s)) + "\n"


def _lines(metrics: Metrics, weights: WeightStore, now_s: float) -> Iterator[str]:
    header = weights.current.header if weights.current else None
    yield from _one("sidearm_sidecar_rows_total", "counter", "Decisions scored.", metrics.rows)
    yield from _one("sidearm_sidecar_refused_total", "counter", "Score requests refused.", metrics.refused)
    yield from _one(
        "sidearm_sidecar_violations_total",
        "counter",
        "Answers of the model that broke the out-schema and did not leave.",
        metrics.violations,
    )
    yield from _one(
        "sidearm_sidecar_unknown_catalogue_total",
        "counter",
        "Score requests that were asked for their table of arms.",
        metrics.unknown_catalogue,
    )
    yield from _one(
        "sidearm_weights_version", "gauge", "Version served; 0: cold.", header.version if header else 0
    )
    yield from _one(
        "sidearm_weights_pinned",
        "gauge",
        "1: an older version was pinned and is served; 0: the newest is.",
        int(weights.pinned),
    )
    yield from _one(
        "sidearm_sidecar_deployed", "gauge", "Fixed versions that score too.", weights.deployed.count
    )
    yield from _one(
        "sidearm_base_model",
        "gauge",
        "1: a base model's score is a feature of every arm; 0: there is none.",
        int(weights.base is not None),
    )
    yield from _one("sidearm_weights_swaps_total", "counter", "Versions loaded.", weights.swaps)
    yield from _one(
        "sidearm_weights_deltas_total",
        "counter",
        "Times the newest was reached by deltas.",
        weights.newest.deltas,
    )
    yield from _one(
        "sidearm_weights_wholes_total", "counter", "Times the newest was read whole.", weights.newest.wholes
    )
    yield from _one(
        "sidearm_weights_refused_total",
        "counter",
        "Records refused; the last good is served.",
        weights.refused,
    )
    yield from _one(
        "sidearm_sidecar_store_errors_total", "counter", "Failed calls of the store.", weights.store_errors
    )
    if header:
        age_s = max(0.0, now_s - header.trained_until_ms / 1000)
        yield from _one("sidearm_weights_age_seconds", "gauge", "Since the last example they know.", age_s)
    yield from _histogram(metrics)


def _one(name: str, kind: str, meaning: str, value: float) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
    yield f"{name} {value}"


def _histogram(metrics: Metrics) -> Iterator[str]:
    name = "sidearm_sidecar_score_seconds"
    yield f"# HELP {name} Time of one score call, decoding included."
    yield f"# TYPE {name} histogram"
    for bound, total in zip(BUCKETS_S, accumulate(metrics.buckets), strict=True):
        yield f'{name}_bucket{{le="{bound:g}"}} {total}'
    yield f'{name}_bucket{{le="+Inf"}} {metrics.calls}'
    yield f"{name}_sum {metrics.seconds}"
    yield f"{name}_count {metrics.calls}"
