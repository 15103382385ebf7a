"""Who answered how many decisions, told to the store now and then: all replicas together, for people."""

from __future__ import annotations

from collections import Counter

from sidecar.contracts.events import DecisionEvent

EXCLUDED = "excluded"
"""Beside the sources of decisions: arms that rules took out."""


class Tally:
    """Counts of one process."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    def count(self, event: DecisionEvent) -> None:
        """A decision was answered, logged or not."""
        self._counts[event.source] += 1

    def excluded(self, arms: int) -> None:
        """Rules took out so many arms."""
        self._counts[EXCLUDED] += arms

    @property
    def saved_share(self) -> float:
        """The share of this process's decisions that a rule answered; 0 before the first."""
        return saved_share(self._counts)

    def untold(self) -> Counter[str]:
        """What the store has not been told."""
        return self._counts - self._told

    def told(self, counts: Counter[str]) -> None:
        """The store was told these."""
        self._told.update(counts)


def saved_share(counts: Counter[str]) -> float:
    """The share of decisions that rules answered, by counts of their sources.

    >>> saved_share(Counter({"model": 1, "pre_policy": 3, "excluded": 12}))
    0.75
    """
    decisions = counts.total() - counts[EXCLUDED]
    return counts["pre_policy"] / decisions if decisions else 0.0
