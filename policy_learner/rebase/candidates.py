"""Models trained side by side from the log, and how well each of them foresaw what it had not learnt yet.

A candidate passes so many times over the older part of the window, and once over the newer part, where every
example is foreseen before it is learnt: as it would be online. Only there are its figures taken; on rows that
it has seen before, it would praise itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from policy_learner.archive.archive_reader import LogReader
from policy_learner.archive.cutting import Stretch
from policy_learner.join.catalogues import Catalogues
from policy_learner.learning.progressive import ProgressiveMetrics, figures_of
from policy_learner.learning.records import Record
from policy_learner.learning.slices import Rows, Slice, add, slice_of
from policy_learner.learning.teaching import Teaching
from policy_learner.learning.trainer import Example, Foreseen, restated
from policy_learner.learning.training import Training
from sidecar.contracts.application import Application, ExplorationConfig
from sidecar.contracts.base_model import without_base
from sidecar.contracts.learner_report import WindowFigures
from sidecar.contracts.scripts.publish import Batch

_DOUBT = 1.959964
"""Standard errors: 95 %."""

Tick = Callable[[int], None]
"""Told how many more rows one candidate was trained on."""


class Variant(NamedTuple):
    """How a candidate is trained."""

    epochs: int
    learning_rate: float


class Tally(ProgressiveMetrics):
    """Progressive metrics, and the same figures over all that they ever saw.

    Args:
        exploration: how the policy explores, as it is configured now.
    """

    def __init__(self, exploration: ExplorationConfig) -> None:
        super().__init__(exploration)
        self._as = exploration.as_logged()
        self._total = Slice()

    def observe(self, examples: Sequence[Example], foreseen: Foreseen, number: int, at_ms: int) -> None:
        """Take note of examples that were just learnt; see :meth:`ProgressiveMetrics.observe`."""
        super().observe(examples, foreseen, number, at_ms)
        rows = Rows(
            foreseen,
            [one.reward for one in examples],
            [one.event.propensity for one in examples],
            [one.event.inclusion_probability for one in examples],
        )
        add(self._total, slice_of(rows, self._as))

    def whole(self) -> WindowFigures:
        """The figures."""
        return figures_of(self._total)


@dataclass
class Candidate:
    """One of the models."""

    variant: Variant
    training: Training
    refused: int = 0
    """Examples that it could not be trained on, each pass counted."""
    tested: WindowFigures = field(default_factory=WindowFigures)
    """On the newer part, each example foreseen before it was learnt."""
    before: Record | None = None
    """Its weights as they were before the newer part."""

    def learn(self, batch: Batch, lessons: Sequence[Teaching]) -> None:
        """One stretch."""
        self.refused += len(self.training.train(batch, lessons).refused)


class Bench:
    """Where candidates of one application are trained.

    Args:
        application: whose model it is.
        catalogues: for the arms of each example.
        reader: of its log.
        tick: told of every stretch.
    """

    def __init__(
        self,
        application: Application,
        catalogues: Catalogues,
        reader: LogReader,
        tick: Tick = lambda rows: None,
    ) -> None:
        self._application, self._catalogues = application, catalogues
        self._reader, self._tick = reader, tick

    def candidates(self, variants: Iterable[Variant]) -> list[Candidate]:
        """Untrained ones."""
        return [Candidate(one, Training(self._with(one), self._catalogues)) for one in variants]

    def train(self, candidates: Sequence[Candidate], older: Sequence[Stretch]) -> None:
        """Every candidate over the older part, as often as it wants; each row is read once a pass."""
        for epoch in range(max(one.variant.epochs for one in candidates)):
            self.pass_over([one for one in candidates if one.variant.epochs > epoch], older)

    def test(self, candidates: Sequence[Candidate], newer: Sequence[Stretch]) -> None:
        """Every candidate over the newer part, once; its figures are those of this part."""
        tallies = []
        for one in candidates:
            one.before = one.training.record(0, 0)
            tallies.append(self._begin_anew(one))
        self.pass_over(candidates, newer)
        for one, tally in zip(candidates, tallies, strict=True):
            one.tested = tally.whole()

    def go_on(self, chosen: Candidate, newest: Sequence[Stretch]) -> Training:
        """The chosen one, as the model of ``app.toml``, over what came after; what it is then."""
        of = chosen.training.saved(0, 0, ())
        state = restated(of.state, self._application.model)
        saved = msgspec.structs.replace(of, state=state)
        chosen.training = Training.of(self._application, self._catalogues, saved)
        self.pass_over([chosen], newest)
        return chosen.training

    def pass_over(self, candidates: Sequence[Candidate], part: Sequence[Stretch]) -> None:
        """Some candidates over some stretches, once."""
        for batch, rows in part:
            lessons = self._reader.examples(batch.partition, batch.first, batch.last)
            if self._application.model.base is None:  # what no sidecar will add is not learnt from
                lessons = [one._replace(event=without_base(one.event)) for one in lessons]
            for one in candidates:
                one.learn(batch, lessons)
                self._tick(rows)

    def _begin_anew(self, one: Candidate) -> Tally:
        """What a candidate says of itself begins here; what it has learnt stays."""
        of = one.training
        saved = msgspec.structs.replace(of.saved(0, 0, ()), progressive=b"", calibration=b"", watched=0)
        one.training = Training.of(self._with(one.variant), self._catalogues, saved)
        tally = one.training.progressive = Tally(self._application.exploration)
        return tally

    def _with(self, variant: Variant) -> Application:
        model = msgspec.structs.replace(self._application.model, learning_rate=variant.learning_rate)
        return msgspec.structs.replace(self._application, model=model)


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """The one to go on from: of those that nobody earns more than beyond doubt, who misses least.

    The reward of a policy is what counts, and it is noisy: the highest of several is the luckiest too. How
    far a model misses is far less so. The doubt is that of two figures of different traffic; these are of the
    same, so that less than one in twenty is set aside wrongly.
    """
    top = max(candidates, key=lambda one: -math.inf if one.tested.snips is None else one.tested.snips)
    level = [place for place, one in enumerate(candidates) if not _earns_less(one, top)]
    losses = [math.inf if loss is None else loss for loss in losses_of(candidates)[1]]
    return candidates[min(level, key=lambda place: losses[place])]


def losses_of(candidates: Sequence[Candidate]) -> tuple[str, list[float | None]]:
    """How far each misses, and by what measure: a log loss needs rewards of 0 and 1."""
    log_losses = [one.tested.log_loss for one in candidates]
    if None not in log_losses:
        return "log loss", log_losses
    return "squared error", [one.tested.squared_error for one in candidates]


def _earns_less(one: Candidate, top: Candidate) -> bool:
    """Whether one's reward is below the other's by more than chance explains."""
    theirs, ours = top.tested, one.tested
    if ours.snips is None or theirs.snips is None:
        return False
    errors = math.hypot(ours.snips_error or 0.0, theirs.snips_error or 0.0)
    return theirs.snips - ours.snips > _DOUBT * errors
