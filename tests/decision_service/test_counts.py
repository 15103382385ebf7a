"""Figures that are counted in plain numbers read as the client library's own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from decision_service.figures.counts import Counts, Times

EDGES = (0.001, 0.01, 0.1)
SEEN = (0.0005, 0.001, 0.0011, 0.05, 3.0)


def text_of(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_a_scrape_is_what_the_library_would_have_said() -> None:
    """Names, types, labels, cumulative buckets, sums, and what was known beforehand."""
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    counter = Counter("asked", "Asked.", ["of"], registry=theirs)
    counter.labels("nobody")
    histogram = Histogram("took_seconds", "Took.", ["of"], buckets=EDGES, registry=theirs)
    counts = Counts("asked", "Asked.", ("of",), ours, known=[("nobody",)])
    times = Times("took_seconds", "Took.", "of", EDGES, ours)
    for seconds in SEEN:
        counter.labels("us").inc()
        counts.add(("us",))
        histogram.labels("us").observe(seconds)
        times.add("us", seconds)
    assert text_of(ours) == text_of(theirs)
    assert ours.get_sample_value("asked_total", {"of": "us"}) == len(SEEN)
