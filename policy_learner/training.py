"""A model on its way through the log: what it has learnt, and the weights record that this makes.

The live loop, a restart and a replay all train through :class:`Training`, in recorded order; so the same
stretches of the log give the same weights, to the last bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from policy_learner.arm_sets import ArmSets
from policy_learner.catalogues import Catalogues
from policy_learner.checkpoint import Checkpoint
from policy_learner.errors import TrainerPoisoned
from policy_learner.gate_sample import GateSample
from policy_learner.positions import START, ms_of
from policy_learner.progressive import ProgressiveMetrics
from policy_learner.rows import is_learnt
from policy_learner.trainer import Example, Foreseen, Trainer
from sidecar.contracts.application import Application
from sidecar.contracts.errors import BadEvent, UnknownCatalogue
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.scripts.publish import Batch
from sidecar.contracts.weights import Weights, WeightsHeader, encode_weights, weights_of


class Refused(NamedTuple):
    """An example that was not trained on."""

    place: int
    """In the batch."""
    reason: str


class Trained(NamedTuple):
    """What came of a batch."""

    examples: int
    """Trained on."""
    refused: list[Refused]
    """In the order of the batch."""


class Record(NamedTuple):
    """One version of the weights, as it is published."""

    weights: Weights
    encoded: bytes
    checksum: str
    """sha256 of ``encoded``."""


class Training:
    """A trainer, and how far it has come.

    Args:
        application: for the model's configuration.
        catalogues: for the arms of each example.
        trainer: an untrained one by default.
        trained: last position trained on, for each partition.
        examples: trained on so far.
        sample: the gate's, if it wants one.
    """

    def __init__(
        self,
        application: Application,
        catalogues: Catalogues,
        trainer: Trainer | None = None,
        trained: Sequence[str] = (),
        examples: int = 0,
        sample: GateSample | None = None,
    ) -> None:
        self._model, self._arms = application.model, ArmSets(catalogues)
        self.trainer = trainer or Trainer(application.model)
        self.trained = list(trained) or [START] * application.partitions
        self.examples = examples
        self.latest: Sequence[Example] = ()
        """Examples of the last batch, for the gate."""
        self.progressive = ProgressiveMetrics(application.exploration)
        self._sample = sample

    @classmethod
    def of(
        cls,
        application: Application,
        catalogues: Catalogues,
        saved: Checkpoint,
        sample: GateSample | None = None,
    ) -> Training:
        """As it was when the checkpoint was made.

        Raises:
            BadCheckpoint: it is of another model.
        """
        trainer = Trainer.restore(application.model, saved.state)
        training = cls(application, catalogues, trainer, saved.trained, saved.examples, sample)
        training.progressive.restore(saved.progressive)
        return training

    def train(self, batch: Batch, events: Sequence[tuple[DecisionEvent, float]]) -> Trained:
        """Train on one stretch of the log, in order. Either all of it has its effect, or this raised."""
        examples: list[Example] = []
        places: list[int] = []
        refused: list[Refused] = []
        for place, (event, reward) in enumerate(events):
            if not is_learnt(event):
                continue
            try:
                arms = self._arms.of(event)
            except (BadEvent, UnknownCatalogue) as error:
                refused.append(Refused(place, str(error)))
                continue
            examples.append(Example(event, arms, reward))
            places.append(place)
        foreseen, spoilt = self._learn(examples)
        if foreseen.shown:
            learnt = [one for n, one in enumerate(examples) if n not in spoilt] if spoilt else examples
            self._note(learnt, foreseen, batch)
        refused += [Refused(places[n], reason) for n, reason in spoilt.items()]
        return Trained(len(foreseen.shown), sorted(refused))

    def _note(self, learnt: Sequence[Example], foreseen: Foreseen, batch: Batch) -> None:
        self.progressive.observe(learnt, foreseen, self.examples, ms_of(batch.last))
        if self._sample is not None:
            self._sample.observe(learnt, self.examples)
        self.trained[batch.partition] = batch.last
        self.examples += len(learnt)
        self.latest = learnt

    def _learn(self, examples: Sequence[Example]) -> tuple[Foreseen, dict[int, str]]:
        """Learn all at once; where one is poison, the rest one by one.

        Returns:
            What was foreseen of those that were learnt; place and reason of those that were refused.
        """
        try:
            return (self.trainer.learn(examples) if examples else Foreseen([], [])), {}
        except TrainerPoisoned as error:
            foreseen, later = self._learn_singly(examples, error.place + 1)
            error.expected.extend(foreseen)
            return error.expected, {error.place: str(error)} | later
        except BadEvent:
            return self._learn_singly(examples, 0)

    def _learn_singly(self, examples: Sequence[Example], start: int) -> tuple[Foreseen, dict[int, str]]:
        foreseen = Foreseen([], [])
        refused: dict[int, str] = {}
        for place in range(start, len(examples)):
            try:
                foreseen.extend(self.trainer.learn([examples[place]]))
            except (BadEvent, TrainerPoisoned) as error:
                refused[place] = str(error)
        return foreseen, refused

    def record(self, version: int, epoch: int) -> Record:
        """The weights as they are now.

        Raises:
            BadWeights: a weight is not finite.
        """
        header = WeightsHeader(
            version=version,
            bits=self._model.bits,
            interactions=self._model.interactions,
            positions=tuple(self.trained),
            trained_until_ms=max(map(ms_of, self.trained)),
            epoch=epoch,
            examples=self.examples,
        )
        weights = weights_of(header, self.trainer.weights_values())
        encoded = encode_weights(weights)
        return Record(weights, encoded, hashlib.sha256(encoded).hexdigest())
