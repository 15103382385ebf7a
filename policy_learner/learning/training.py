"""A model on its way through the log: what it has learnt, and the weights record that this makes.

The live loop, a restart and a replay all train through :class:`Training`, in recorded order; so the same
stretches of the log give the same weights, to the last bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np

from policy_learner.errors import BadCheckpoint, TrainerPoisoned
from policy_learner.gate.gate_sample import GateSample
from policy_learner.join.catalogues import Catalogues
from policy_learner.join.positions import START, ms_of
from policy_learner.learning.arm_sets import ArmSets
from policy_learner.learning.asking import asked_of, without_bad
from policy_learner.learning.batches import Begun, Refused, Trained
from policy_learner.learning.progressive import ProgressiveMetrics
from policy_learner.learning.records import Named, Record, record_of
from policy_learner.learning.teaching import Effect, Teaching
from policy_learner.learning.trainer import Example, Foreseen, Trainer
from policy_learner.learning.trainers import AnyTrainer, LearnsAhead, Trainers
from policy_learner.learning.watching import as_served, some_of
from policy_learner.models.checkpoint import Checkpoint
from sidecar.contracts.application import Application
from sidecar.contracts.calibration import Calibration
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.scripts.publish import Batch
from sidecar.policy.calibrating import Calibrating


class Training:
    """A trainer, and how far it has come.

    Args:
        application: for the model's configuration.
        catalogues: for the arms of each example.
        trainer: an untrained one by default.
        trained: last position trained on, for each partition.
        examples: trained on so far.
        sample: the gate's, if it wants one.
        watched: examples that the metrics have seen so far; None: all of them.
        trainers: makes the untrained one; in this process by default.
    """

    def __init__(
        self,
        application: Application,
        catalogues: Catalogues,
        trainer: AnyTrainer | None = None,
        trained: Sequence[str] = (),
        examples: int = 0,
        sample: GateSample | None = None,
        watched: int | None = None,
        trainers: Trainers | None = None,
    ) -> None:
        self._model, self._arms = application.model, ArmSets(catalogues)
        self.trainer: AnyTrainer = trainer or (trainers or Trainer)(application.model)
        self._begun: deque[Begun] = deque()
        self.trained = list(trained) or [START] * application.partitions
        self.examples = examples
        self.watched = examples if watched is None else watched
        self.latest: Sequence[Example] = ()
        """Examples of the last batch, for the gate."""
        self.progressive = ProgressiveMetrics(application.exploration)
        self._sample, self._sample_from = sample, 0
        self._gone: set[str] = set()
        """Decisions of which something was refused: what is left of them is not watched."""
        self.calibrating = Calibrating()

    @classmethod
    def of(
        cls,
        application: Application,
        catalogues: Catalogues,
        saved: Checkpoint,
        sample: GateSample | None = None,
        trainers: Trainers | None = None,
    ) -> Training:
        """As it was when the checkpoint was made.

        Raises:
            BadCheckpoint: it is of another model.
        """
        trainer = (trainers or Trainer).restore(application.model, saved.state)
        training = cls(application, catalogues, trainer, saved.trained, saved.examples, sample, saved.watched)
        training.progressive.restore(saved.progressive)
        if saved.calibration:
            training.calibrating = _calibrating_of(saved)
        return training

    def train(self, batch: Batch, lessons: Sequence[Teaching]) -> Trained:
        """Train on a stretch of the log, in order or shuffled: all of it has its effect, or this raised."""
        self.begin(batch, lessons)
        return self.finish()

    def begin(self, batch: Batch, lessons: Sequence[Teaching]) -> None:
        """Begin with a stretch of the log; a trainer in a process of its own is busy with it from now on."""
        asked = asked_of(self.trainer, self._arms, batch, lessons)
        if asked.examples and isinstance(self.trainer, LearnsAhead):
            try:
                self.trainer.ahead(asked.examples)
            except BadEvent:
                asked = without_bad(self.trainer, asked)
                if asked.examples:
                    self.trainer.ahead(asked.examples)
        self._begun.append(Begun(batch, lessons, asked))

    def finish(self) -> Trained:
        """Wait until the stretch that was begun first has had its effect; after an error, call again."""
        begun = self._begun[0]
        self._learn(begun)
        self._begun.popleft()
        return self._seen(begun)

    def _seen(self, begun: Begun) -> Trained:
        """What was learnt is counted, and what is known of it shown to the metrics."""
        batch, lessons, asked, spoilt = begun.batch, begun.lessons, begun.asked, begun.spoilt
        done = [n for n in range(len(asked.examples)) if n not in spoilt]
        self._gone.update(asked.examples[n].event.decision_id for n in spoilt)
        watched = [one for one in asked.watched if one.event.decision_id not in self._gone]
        self._note(batch, [asked.examples[n] for n in done], watched)
        told = [at for at, n in enumerate(done) if lessons[asked.places[n]].effect is Effect.LEARNT]
        self._watch(batch, [self.latest[at] for at in told], some_of(begun.foreseen, told))
        self._watch(batch, watched, as_served(watched))
        refused = [*asked.refused, *(Refused(asked.places[n], reason) for n, reason in spoilt.items())]
        return Trained(len(done), sorted(refused), len(watched))

    def _note(self, batch: Batch, learnt: Sequence[Example], watched: Sequence[Example]) -> None:
        if learnt or watched:
            self.trained[batch.partition] = batch.last
        if learnt:
            self.examples += len(learnt)
            self.latest = learnt

    def _watch(self, batch: Batch, examples: Sequence[Example], foreseen: Foreseen) -> None:
        """Show examples, with rewards and what was foreseen, to the metrics, the calibrator and the gate."""
        if not examples:
            return
        self.progressive.observe(examples, foreseen, self.watched, ms_of(batch.last))
        self._calibrate(examples, foreseen)
        if self._sample is not None:
            self._sample.observe(examples, self._sample_from + self.watched)
        self.watched += len(examples)

    def _calibrate(self, examples: Sequence[Example], foreseen: Foreseen) -> None:
        rewards = np.array([one.reward for one in examples])
        weights = np.array([1.0 / one.event.inclusion_probability for one in examples])
        self.calibrating.observe(np.array(foreseen.shown), rewards, weights)

    def _learn(self, begun: Begun) -> None:
        """Learn all at once; where one is poison, the rest one by one. After an error it goes on there."""
        examples = begun.asked.examples
        if begun.at is None:
            try:
                begun.foreseen.extend(self.trainer.learn(examples) if examples else Foreseen([], []))
                return
            except TrainerPoisoned as error:
                begun.foreseen.extend(error.expected)
                begun.spoilt[error.place] = str(error)
                begun.at = error.place + 1
            except BadEvent:
                begun.at = 0
        while begun.at < len(examples):
            self._learn_one(begun, begun.at)
            begun.at += 1

    def _learn_one(self, begun: Begun, place: int) -> None:
        example = begun.asked.examples[place]
        if example.correction and any(
            begun.asked.examples[n].event.decision_id == example.event.decision_id for n in begun.spoilt
        ):
            begun.spoilt[place] = f"{example.event.decision_id}: what it corrects was refused"
            return
        try:
            begun.foreseen.extend(self.trainer.learn(begun.alone(place)))
        except (BadEvent, TrainerPoisoned) as error:
            begun.spoilt[place] = str(error)

    def close(self) -> None:
        """It is not wanted any more, nor what it has begun."""
        self._begun.clear()
        if isinstance(self.trainer, LearnsAhead):
            self.trainer.close()

    def succeed(self, other: Training) -> None:
        """Take the place of another: its gate's sample goes on, and what counts examples never falls."""
        self._sample, self._sample_from = other._sample, other._sample_from + other.watched - self.watched
        self.examples = max(self.examples, other.examples)

    def saved(self, version: int, epoch: int, positions: Sequence[str]) -> Checkpoint:
        """All of it, as of a version; :meth:`of` goes on from there.

        Args:
            version: the published one that this is, or 0.
            epoch: of the learner that published it.
            positions: everything up to here has had its effect, in every partition.
        """
        return Checkpoint(
            version=version,
            epoch=epoch,
            examples=self.examples,
            positions=tuple(positions),
            trained=tuple(self.trained),
            state=self.trainer.serialize(),
            progressive=self.progressive.state(),
            calibration=self.calibrating.state(),
            watched=self.watched,
        )

    def record(self, version: int, epoch: int) -> Record:
        """The weights as they are now, and what their scores mean.

        Raises:
            BadWeights: a weight is not finite.
        """
        return self._record(version, epoch, self.calibrating.current)

    def record_as(self, version: int, epoch: int, checksum: str) -> Record:
        """The same for a version that was published before, with the sha256 that its record had.

        Versions of a learner that knew of no calibration come out without one, and whoever learns on from
        such a version begins to calibrate there: so did the learner that came after it.
        """
        record = self.record(version, epoch)
        if record.checksum != checksum:
            plain = self._record(version, epoch, msgspec.UNSET)
            if plain.checksum == checksum:
                self.calibrating = Calibrating()
                return plain
        return record

    def _record(
        self, version: int, epoch: int, calibration: Calibration | msgspec.UnsetType | None
    ) -> Record:
        named = Named(version, epoch, self.examples, self.trained)
        return record_of(self._model, named, self.trainer.weights_values(), calibration)


def _calibrating_of(saved: Checkpoint) -> Calibrating:
    try:
        return Calibrating.of(saved.calibration)
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadCheckpoint(f"calibration in the checkpoint of version {saved.version}: {error}") from error
