"""Figures of every request, counted in plain numbers and made Prometheus' only when somebody scrapes.

The client library's counters take a lock each: four of them and a histogram cost a request as much as reading
its body. Here one thread counts, that of the event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily


class Counts:
    """A counter with labels.

    Args:
        name: without ``_total``.
        meaning: for whoever reads the scrape.
        labels: their names.
        registry: that shows it.
        known: values of labels that are shown before the first of them is counted.
    """

    def __init__(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        known: Iterable[tuple[str, ...]] = (),
    ) -> None:
        self._name, self._meaning, self._labels = name, meaning, labels
        self._counts: dict[tuple[str, ...], int] = dict.fromkeys(known, 0)
        registry.register(self)

    def add(self, labels: tuple[str, ...] = (), count: int = 1) -> None:
        """One more, or so many."""
        self._counts[labels] = self._counts.get(labels, 0) + count

    def describe(self) -> list[CounterMetricFamily]:
        """Called by the registry."""
        return [CounterMetricFamily(self._name, self._meaning, labels=self._labels)]

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Called by the registry."""
        (family,) = self.describe()
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Times:
    """A histogram of seconds with one label.

    Args:
        name: of the figure.
        meaning: for whoever reads the scrape.
        label: its name.
        edges: upper ends of its buckets, but for the last one.
        registry: that shows it.
    """

    def __init__(
        self, name: str, meaning: str, label: str, edges: tuple[float, ...], registry: CollectorRegistry
    ) -> None:
        self._name, self._meaning, self._label, self._edges = name, meaning, label, edges
        self._seen: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        registry.register(self)

    def add(self, label: str, seconds: float) -> None:
        """One more."""
        buckets = self._seen.get(label)
        if buckets is None:
            buckets = self._seen[label] = [0] * (len(self._edges) + 1)
        buckets[bisect_left(self._edges, seconds)] += 1
        self._sums[label] = self._sums.get(label, 0.0) + seconds

    def counts(self, labels: Iterable[str]) -> list[int]:
        """Of these labels together, how many in each bucket."""
        none = [0] * (len(self._edges) + 1)
        return [
            sum(column) for column in zip(none, *[self._seen.get(one, none) for one in labels], strict=True)
        ]

    def describe(self) -> list[HistogramMetricFamily]:
        """Called by the registry."""
        return [HistogramMetricFamily(self._name, self._meaning, labels=[self._label])]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Called by the registry."""
        (family,) = self.describe()
        for label, buckets in self._seen.items():
            family.add_metric([label], self._cumulative(buckets), self._sums[label])
        yield family

    def _cumulative(self, buckets: Sequence[int]) -> list[tuple[str, float]]:
        total, told = 0, []
        for edge, count in zip((*map(str, self._edges), "+Inf"), buckets, strict=True):
            total += count
            told.append((edge, float(total)))
        return told
