"""The gate's sample: examples evenly spaced over the latest ones, as columns of numbers.

It is bounded twice: in examples, and for scoring all arms of an example, in arms altogether. Where a decision
has thousands of arms only the latest few are scored whole. That costs nothing: the propensity of a single arm
is so small there that no comparison of rewards could say anything, while AUC needs the shown arm alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from policy_learner.gate.sliding import Sliding
from policy_learner.learning.trainer import Example
from sidecar.contracts.application import Arm
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.events import DecisionEvent, features_of
from sidecar.contracts.model_section import ModelConfig
from sidecar.policy.adapters import RowInput
from sidecar.policy.arm_table import ArmTable, compile_arms
from sidecar.policy.exploration import SCHEMES
from sidecar.policy.features import compile_context
from sidecar.policy.model import Terms, count_terms, terms_of
from sidecar.policy.propensity import pmf_with

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ARMS_SCORED = 5_000
"""Of all examples that are scored whole: 250 of 20 arms, 1 of 5,000."""
TERMS_SCORED = 1 << 20
"""The same in terms of their scores: 12 MB, however many features arms have."""
_GATES_A_SAMPLE = 4
"""So many gates it takes at least to replace the whole sample: at thousands of examples a gate it covers more
of them than the window, and no gate has to score all of it by every model."""
_ARMS_IN_TABLES_KEPT = 65_536
_SCORE_BYTES = 4


class Rows(NamedTuple):
    """Arms to be scored, one a row."""

    numbers: Integers
    """Of the example that each is of, ascending."""
    terms: Terms


class Whole(NamedTuple):
    """The latest examples with all their arms; ``(n,)`` but for the last two."""

    rewards: Floats
    shown: Integers
    """Place of the shown arm among the example's."""
    propensities: Floats
    sizes: Integers
    """How many arms."""
    arms: Rows
    """Of all examples, one after the other."""
    chances: Floats
    """Of each of these arms, by the pmf that the shown one was drawn from; NaN where that is not known."""


class Sample(NamedTuple):
    """What models are compared on, in the order in which it was learnt. Good until the next one is taken."""

    rewards: Floats
    """``(n,)``"""
    shown: Rows
    """The shown arm of each example."""
    whole: Whole


class GateSample:
    """The latest examples, thinned out.

    Args:
        window: how many examples it covers.
        compared: how many of them it holds.
        model: which terms a score has.
    """

    def __init__(self, window: int, compared: int, model: ModelConfig) -> None:
        self._stride, self._compared = max(1, window // compared), compared
        self._most_new = max(1, compared // _GATES_A_SAMPLE)
        self._new: list[tuple[int, Example]] = []
        self._model, self._tables = model, _Tables()
        self._rewards, self._shown, self._whole = Sliding(np.float64), _RowsKept(), _WholeKept(compared)

    def observe(self, examples: Sequence[Example], number: int) -> None:
        """Take note of examples that were just learnt, the first of which is the ``number``-th, from 0."""
        for place in range(-number % self._stride, len(examples), self._stride):
            if len(self._new) >= self._most_new:
                break
            self._new.append((number + place, examples[place]))

    def take(self) -> Sample:
        """The sample for one gate."""
        for number, example in self._new:
            self._add(number, example)
        self._new = []
        self._rewards.keep(self._compared)
        self._shown.keep(self._compared)
        return Sample(self._rewards.all, self._shown.all, self._whole.all)

    def _add(self, number: int, example: Example) -> None:
        context, arms, shown = (
            compile_context(features_of(example.event)),
            example.arms,
            example.event.arm_index,
        )
        row = RowInput(context, self._tables.of(arms)) if len(arms) <= ARMS_SCORED else None
        self._rewards.append([example.reward])
        if row is None or count_terms(row, self._model.interactions) > TERMS_SCORED:
            self._whole = _WholeKept(self._compared)  # it alone would be too much
            self._shown.append(number, self._terms(RowInput(context, self._tables.of_one(arms[shown]))))
        else:
            terms = self._terms(row)
            self._whole.append(number, example, terms)
            self._shown.append(number, Terms(terms.places[[shown]], terms.values[[shown]]))

    def _terms(self, row: RowInput) -> Terms:
        return terms_of(row, self._model.bits, self._model.interactions)


class _RowsKept:
    """The latest arms that are to be scored."""

    def __init__(self) -> None:
        self._numbers = Sliding(np.int64)
        self._places, self._values = Sliding(np.int32, is_wide=True), Sliding(np.float64, is_wide=True)

    @property
    def width(self) -> int:
        """Terms of each."""
        return int(self._places.all.shape[1])

    @property
    def all(self) -> Rows:
        return Rows(self._numbers.all, Terms(self._places.all, self._values.all))

    def append(self, number: int, terms: Terms) -> None:
        self._numbers.append([number] * len(terms.places))
        self._places.append(terms.places)
        self._values.append(terms.values)

    def keep(self, most: int) -> None:
        for column in (self._numbers, self._places, self._values):
            column.keep(most)


class _WholeKept:
    """The latest examples with all their arms, as many as may be scored."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rewards, self._propensities = Sliding(np.float64), Sliding(np.float64)
        self._shown, self._sizes = Sliding(np.int64), Sliding(np.int64)
        self._arms, self._chances = _RowsKept(), Sliding(np.float64)

    @property
    def all(self) -> Whole:
        return Whole(
            self._rewards.all,
            self._shown.all,
            self._propensities.all,
            self._sizes.all,
            self._arms.all,
            self._chances.all,
        )

    def append(self, number: int, example: Example, terms: Terms) -> None:
        event, size = example.event, len(example.arms)
        self._rewards.append([example.reward])
        self._shown.append([event.arm_index])
        self._propensities.append([event.propensity])
        self._sizes.append([size])
        self._arms.append(number, terms)
        self._chances.append(_chances(event, size))
        self._thin()

    def _thin(self) -> None:
        """Forget the first examples of more arms, or terms of theirs, than are scored."""
        most = min(ARMS_SCORED, TERMS_SCORED // self._arms.width)
        totals = self._sizes.all[::-1][: self._most].cumsum()
        kept = int(np.searchsorted(totals, most, "right"))
        for column in (self._rewards, self._shown, self._propensities, self._sizes):
            column.keep(kept)
        n_arms = int(totals[kept - 1]) if kept else 0
        self._arms.keep(n_arms)
        self._chances.keep(n_arms)


def _chances(event: DecisionEvent, size: int) -> Floats:
    """The pmf that the arm was drawn from, ``(size,)``; NaN where the event says nothing that could be."""
    if event.exploration.scheme in SCHEMES and len(event.scores) == _SCORE_BYTES * size:
        scores = np.frombuffer(event.scores, "<f4")
        with contextlib.suppress(SidearmError):
            return pmf_with(event, scores)
    return np.full(size, np.nan)


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
