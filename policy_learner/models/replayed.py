"""What came of a replay: how much was done again, and what came out another way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

MOST_TOLD = 20
"""Mismatches described one by one; the others are counted."""


class Mismatch(NamedTuple):
    """Something that came out another way."""

    what: str
    """``row``, ``draw``, ``score``, ``pmf``, ``meaning``, ``weights``, ``base``, ``chain``."""
    name: str
    """The decision, the version, or the file."""
    detail: str


@dataclass
class Replayed:
    """What was done again, and what came of it."""

    counts: Counter[str] = field(default_factory=Counter)
    """``decisions``, ``drawn``, ``scored``, ``based``, ``imported``, ``certain``, ``versions``, ``examples``,
    ``deleted`` (versions that learnt from rows which retention or a privacy request deleted)."""
    mismatches: Counter[str] = field(default_factory=Counter)
    told: list[Mismatch] = field(default_factory=list)

    def mismatch(self, what: str, name: str, detail: str) -> None:
        """Count it, and keep the first ones."""
        self.mismatches[what] += 1
        if len(self.told) < MOST_TOLD:
            self.told.append(Mismatch(what, name, detail))

    @property
    def clean(self) -> bool:
        """Everything came out the same."""
        return not self.mismatches
