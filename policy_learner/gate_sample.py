"""The gate's sample: examples evenly spaced over the latest ones, and what models say of them.

It is bounded twice: in examples, and for scoring all arms of an example, in arms altogether. Where a decision
has thousands of arms only the latest few are scored whole. That costs nothing: the propensity of a single arm
is so small there that no comparison of rewards could say anything, while AUC needs the shown arm alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from policy_learner.trainer import Example
from sidecar.contracts.application import Arm
from sidecar.contracts.weights import Weights
from sidecar.policy.adapters import ArmTable, ContextInput, RowInput, compile_arms, compile_context
from sidecar.policy.exploration import Scores
from sidecar.policy.model import scores_of_many

ARMS_SCORED = 5_000
"""Of all examples that are scored whole: 250 of 20 arms, 1 of 5,000."""
_GATES_A_SAMPLE = 4
"""So many gates it takes at least to replace the whole sample: at thousands of examples a gate it covers more
of them than the window, and no gate has to score all of it by every model."""
_ARMS_IN_TABLES_KEPT = 65_536


@dataclass
class Sampled:
    """One example of the sample."""

    number: int
    """Of the example, since the model was cold."""
    example: Example
    tables: _Tables

    @cached_property
    def whole(self) -> RowInput:
        """All of its arms."""
        return RowInput(self._context, self.tables.of(self.example.arms))

    @cached_property
    def shown(self) -> RowInput:
        """The arm that was shown, alone."""
        return RowInput(self._context, self.tables.of_one(self.example.arms[self.example.event.arm_index]))

    @cached_property
    def _context(self) -> ContextInput:
        return compile_context(self.example.event.context)


class GateSample:
    """The latest examples, thinned out.

    Args:
        window: how many examples it covers.
        compared: how many of them it holds.
    """

    def __init__(self, window: int, compared: int) -> None:
        self._stride = max(1, window // compared)
        self._rows: deque[tuple[int, Example]] = deque(maxlen=compared)
        self._most_new, self._new = max(1, compared // _GATES_A_SAMPLE), 0
        self._sampled: dict[int, Sampled] = {}
        self._tables = _Tables()

    def observe(self, examples: Sequence[Example], number: int) -> None:
        """Take note of examples that were just learnt, the first of which is the ``number``-th, from 0."""
        for place in range(-number % self._stride, len(examples), self._stride):
            if self._new >= self._most_new:
                break
            self._rows.append((number + place, examples[place]))
            self._new += 1

    def rows(self) -> list[Sampled]:
        """The sample for one gate, in the order in which it was learnt."""
        held, self._new = self._sampled, 0
        self._sampled = {
            number: held.get(number) or Sampled(number, example, self._tables)
            for number, example in self._rows
        }
        return list(self._sampled.values())


def scored_whole(rows: Sequence[Sampled]) -> int:
    """How many of the last rows are scored with all of their arms."""
    arms = 0
    for count, row in enumerate(reversed(rows)):
        arms += len(row.example.arms)
        if arms > ARMS_SCORED:
            return count
    return len(rows)


@dataclass
class Model:
    """Weights, and what they say of the sample: scored once for each example that comes into it."""

    weights: Weights
    _shown: dict[int, float] = field(default_factory=dict)
    _whole: dict[int, Scores] = field(default_factory=dict)

    def shown(self, rows: Sequence[Sampled]) -> npt.NDArray[np.float64]:
        """What it expects of each shown arm."""
        self._shown = {row.number: self._shown[row.number] for row in rows if row.number in self._shown}
        for row in rows:
            if row.number in self._whole and row.number not in self._shown:
                self._shown[row.number] = float(self._whole[row.number][row.example.event.arm_index])
        new = [row for row in rows if row.number not in self._shown]
        scores = scores_of_many([row.shown for row in new], self.weights)
        self._shown |= {row.number: float(one[0]) for row, one in zip(new, scores, strict=True)}
        return np.array([self._shown[row.number] for row in rows])

    def whole(self, rows: Sequence[Sampled]) -> list[Scores]:
        """What it expects of all arms of each example."""
        self._whole = {row.number: self._whole[row.number] for row in rows if row.number in self._whole}
        new = [row for row in rows if row.number not in self._whole]
        scores = scores_of_many([row.whole for row in new], self.weights)
        self._whole |= {row.number: one for row, one in zip(new, scores, strict=True)}
        return [self._whole[row.number] for row in rows]


class _Tables:
    """Compiled arms by identity: those of a catalogue come again with every decision."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[object, ArmTable]] = {}
        self._arms = 0

    def of(self, arms: tuple[Arm, ...]) -> ArmTable:
        return self._get(arms, arms)

    def of_one(self, arm: Arm) -> ArmTable:
        return self._get(arm, (arm,))

    def _get(self, key: object, arms: tuple[Arm, ...]) -> ArmTable:
        kept = self._kept.get(id(key))
        if kept is None:
            if self._arms + len(arms) > _ARMS_IN_TABLES_KEPT:
                self._kept.clear()
                self._arms = 0
            kept = self._kept[id(key)] = (key, compile_arms(arms))
            self._arms += len(arms)
        return kept[1]
