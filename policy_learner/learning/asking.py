"""Which entries of a batch become examples: sorted by what is done with them, in the order of training."""

from __future__ import annotations

from collections.abc import Sequence

from policy_learner.archive.rows import is_learnt
from policy_learner.learning.arm_sets import ArmSets
from policy_learner.learning.batches import Asked, Refused
from policy_learner.learning.shuffling import order_of
from policy_learner.learning.teaching import TRAINED, Effect, Teaching
from policy_learner.learning.trainer import Example
from policy_learner.learning.trainers import AnyTrainer
from policy_learner.learning.watching import is_watchable
from sidecar.contracts.errors import BadEvent, UnknownCatalogue
from sidecar.contracts.scripts.publish import Batch


def asked_of(trainer: AnyTrainer, arms: ArmSets, batch: Batch, lessons: Sequence[Teaching]) -> Asked:
    """What of a batch is to be learnt, in which order, and what is to be watched."""
    asked = Asked([], [], [], [])
    for place, (event, reward, effect) in enumerate(lessons):
        if effect is Effect.NONE or not is_learnt(event):
            continue
        try:
            example = Example(event, arms.of(event), reward, effect is Effect.CORRECTED)
        except (BadEvent, UnknownCatalogue) as error:
            if effect in TRAINED:
                asked.refused.append(Refused(place, str(error)))
            continue
        if effect in TRAINED:
            asked.examples.append(example)
            asked.places.append(place)
        elif _was_learnt(trainer, example):
            asked.watched.append(example)
    order = order_of(batch, [example.event.decision_id for example in asked.examples])
    return asked._replace(
        examples=[asked.examples[n] for n in order], places=[asked.places[n] for n in order]
    )


def without_bad(trainer: AnyTrainer, asked: Asked) -> Asked:
    """The same, with what would poison the model among the refused."""
    kept = Asked([], [], asked.watched, asked.refused)
    for example, place in zip(asked.examples, asked.places, strict=True):
        try:
            trainer.check(example)
        except BadEvent as error:
            kept.refused.append(Refused(place, str(error)))
            continue
        kept.examples.append(example)
        kept.places.append(place)
    return kept


def _was_learnt(trainer: AnyTrainer, example: Example) -> bool:
    """What is poison at the end was refused at the beginning too."""
    try:
        trainer.check(example)
    except BadEvent:
        return False
    return is_watchable(example)
