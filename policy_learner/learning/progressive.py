"""Progressive metrics: how well the model foresees what it is about to learn, over the latest windows.

Two windows, each of ten slices that come and go whole: one by the number of the example, one by the stream's
clock. An example's place in them follows from the log alone (its number, and the end of its batch), so that a
restart or a rebuild from the same batches has the same figures, to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from msgspec import Struct, field

from policy_learner.learning.slices import Rows, Slice, add, slice_of
from policy_learner.learning.trainer import Example, Foreseen
from sidecar.contracts import learner_report
from sidecar.contracts.application import ExplorationConfig
from sidecar.contracts.learner_report import WindowFigures

EXAMPLES_A_SLICE = 1_000
MS_A_SLICE = 60_000
SLICES = 10
_BYTES_AT_ONCE = 1 << 20


class Window(Struct):
    """The latest slices by their number; whatever is older is forgotten."""

    slices: dict[int, Slice] = field(default_factory=dict)

    def add(self, number: int, part: Slice) -> None:
        """Add to a slice; not to one that was forgotten."""
        newest = max(number, *self.slices) if self.slices else number
        if number > newest - SLICES:
            add(self.slices.setdefault(number, Slice()), part)
        for old in [one for one in self.slices if one <= newest - SLICES]:
            del self.slices[old]

    def total(self) -> Slice:
        """All of it."""
        total = Slice()
        for number in sorted(self.slices):
            add(total, self.slices[number])
        return total


class _State(Struct):
    """All that a restart needs."""

    by_count: Window
    by_time: Window
    slots: tuple[int, int]
    """Slices of both windows in which the waiting examples belong."""
    waiting: Rows
    """A slice for every thousand or so costs a tenth of one for each."""


class ProgressiveMetrics:
    """Watches a trainer.

    Args:
        exploration: how the policy explores, as it is configured now.
    """

    def __init__(self, exploration: ExplorationConfig) -> None:
        self._exploration = exploration.as_logged()
        self._state = _State(Window(), Window(), (0, 0), Rows())

    def observe(self, examples: Sequence[Example], foreseen: Foreseen, number: int, at_ms: int) -> None:
        """Take note of examples that were just learnt.

        Args:
            examples: of one batch.
            foreseen: what the trainer expected of each before it learnt from it.
            number: examples learnt before these.
            at_ms: the stream's clock at the end of their batch.
        """
        state, slots = self._state, (number // EXAMPLES_A_SLICE, at_ms // MS_A_SLICE)
        if slots != state.slots:
            self._fold()
            state.slots = slots
        waiting = state.waiting
        waiting.foreseen.extend(foreseen)
        waiting.reward += [one.reward for one in examples]
        waiting.propensity += [one.event.propensity for one in examples]
        waiting.inclusion += [one.event.inclusion_probability for one in examples]
        if len(waiting.reward) * len(foreseen.costs[-1]) >= _BYTES_AT_ONCE:
            self._fold()

    def figures(self) -> learner_report.Progressive:
        """The windows as they are; reading them changes nothing."""
        state = msgspec.msgpack.decode(self.state(), type=_State)
        waiting, (count, minute) = slice_of(state.waiting, self._exploration), state.slots
        state.by_count.add(count, waiting)
        state.by_time.add(minute, waiting)
        return learner_report.Progressive(
            by_count=figures_of(state.by_count.total()), by_time=figures_of(state.by_time.total())
        )

    def state(self) -> bytes:
        """Everything, for a checkpoint."""
        return msgspec.msgpack.encode(self._state)

    def restore(self, state: bytes) -> None:
        """Go on from what :meth:`state` gave; one of another kind is forgotten: figures are no weights."""
        try:
            self._state = msgspec.msgpack.decode(state, type=_State)
        except msgspec.MsgspecError:
            self._state = _State(Window(), Window(), (0, 0), Rows())

    def _fold(self) -> None:
        waiting, (count, minute) = slice_of(self._state.waiting, self._exploration), self._state.slots
        if waiting.examples:
            self._state.by_count.add(count, waiting)
            self._state.by_time.add(minute, waiting)
        self._state.waiting = Rows()


def figures_of(total: Slice) -> WindowFigures:
    """What the sums of a window say."""
    if not total.examples:
        return WindowFigures()
    auc, within = auc_of(total)
    reward = total.sr / total.s
    ips = total.ur / total.s
    snips = total.ur / total.u if total.u else math.nan
    return WindowFigures(
        examples=total.examples,
        auc=_known(auc),
        auc_within=_known(within),
        squared_error=_known(total.squared_error / total.examples),
        log_loss=None if total.graded else _known(total.log_loss / total.examples),
        reward=_known(reward),
        reward_error=_root(total.ssrr - 2 * reward * total.ssr + reward**2 * total.ss, total.s),
        ips=_known(ips),
        ips_error=_root(total.uurr - 2 * ips * total.usr + ips**2 * total.ss, total.s),
        snips=_known(snips),
        snips_error=_root(total.uurr - 2 * snips * total.uur + snips**2 * total.uu, total.u),
    )


def auc_of(total: Slice) -> tuple[float, float]:
    """Area under the ROC curve from the histogram, and how far the exact one may be; NaN with one class only.

    Pairs within a level count one half: that they are ordered one way or the other is all that is unknown.
    """
    all_earned, all_empty = sum(total.earned.values()), sum(total.empty.values())
    if not (all_earned and all_empty):
        return math.nan, math.nan
    below, won, tied = 0, 0.0, 0.0
    for level in sorted(total.earned.keys() | total.empty.keys()):
        earned, empty = total.earned.get(level, 0), total.empty.get(level, 0)
        won += earned * (below + empty / 2)
        tied += earned * empty / 2
        below += empty
    pairs = all_earned * all_empty
    return won / pairs, tied / pairs


def _root(squares: float, total: float) -> float | None:
    """Standard error of a weighted mean; rounding can leave the squares of equal rows below zero."""
    return _known(math.sqrt(max(squares, 0.0)) / total) if total else None


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
