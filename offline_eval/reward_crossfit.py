"""A learner as the reward model, cross-fitted by unit: VW knows what arms and contexts have in common.

Units are split into folds by their bucket. A model for every fold learns from the rows of all others, and
answers that fold's: no row is answered by a model that has seen its reward, nor another one of its unit
(Victor Chernozhukov et al.: Double/debiased machine learning for treatment and structural parameters, 2018).
Scores are those of ``sidecar.policy``, which serves.

The learner is another package's. It is found by its entry point (ADR 0058), and trained part by part, so that
no log is held whole; every row is learnt by all models but one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

import numpy as np

from offline_eval.batches import Batch, read_batches
from offline_eval.dataset import Log
from offline_eval.errors import BadCandidate
from offline_eval.reward_model import Codes, ModelSettings
from offline_eval.reward_weights import reward_bounds
from offline_eval.scoring import BATCH_ROWS
from offline_eval.terms import Floats
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.weights import Weights
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.learning import RewardTrainer
from sidecar.policy.pipeline import scores_of_event

GROUP = "sidearm.reward_trainers"
"""Of entry points."""
Make = Callable[[Callable[[str], Catalogue]], RewardTrainer]


class CrossFitted:
    """Expects of every arm what the model of its row's fold scores it.

    Args:
        name: of the learner.
        weights: for each fold, of a model that knows nothing of it.
        catalogue: by its version.
        bounds: smallest and largest reward that there is; scores are cut to them.
    """

    needs_events = True

    def __init__(
        self,
        name: str,
        weights: list[Weights],
        catalogue: Callable[[str], Catalogue],
        bounds: tuple[float, float],
    ) -> None:
        folds = len(weights)
        self.name = f"{name}, cross-fitted by unit in {folds} folds" if folds > 1 else name
        self.caution = "" if folds > 1 else "the reward model was fitted on the rows it is asked about"
        self.bounds = bounds
        self._weights = weights
        self._catalogue = catalogue
        self._tables = ArmTables()

    def expected(self, batch: Batch, key: str) -> Floats:
        """(m,) scores of every eligible arm, cut to the rewards that there are."""
        rows = [
            scores_of_event(event, self._catalogue(event.catalogue), self._weights[fold], self._tables)
            for event, fold in zip(batch.events, _folds(batch, len(self._weights)).tolist(), strict=True)
        ]
        flat = np.concatenate(rows) if rows else np.zeros(0)
        answers: Floats = np.clip(flat.astype(np.float64), *self.bounds)
        return answers


def fit_crossfitted(log: Log, status: str, settings: ModelSettings) -> CrossFitted:
    """Learn from the rows of one status, once over, in the order of the log.

    Raises:
        BadCandidate: no such learner, it cannot be loaded, or there are no folds.
        BadEvent: a decision that it cannot learn from.
    """
    if settings.folds < 1:
        raise BadCandidate("the reward model needs folds >= 1")
    make, catalogue = _learner(settings.learner), cache(log.catalogue)
    trainers = [make(catalogue) for _ in range(settings.folds)]
    for batch in read_batches(log, status, {}, with_events=True, batch_rows=BATCH_ROWS):
        _learn(trainers, batch)
    weights = [trainer.weights() for trainer in trainers]
    return CrossFitted(settings.learner, weights, catalogue, reward_bounds(log, status))


def learners() -> frozenset[str]:
    """The names of those that are installed."""
    return frozenset({"vw", *entry_points(group=GROUP).names})


def _learn(trainers: list[RewardTrainer], batch: Batch) -> None:
    """Every trainer learns what is not of its own fold; a single one learns all."""
    folds, rewards = _folds(batch, len(trainers)), batch.numbers("reward")
    for fold, trainer in enumerate(trainers):
        others = np.flatnonzero((folds != fold) | (len(trainers) == 1))
        trainer.learn([batch.events[place] for place in others.tolist()], rewards[others].tolist())


def _folds(batch: Batch, folds: int) -> Codes:
    """(n,) the fold of each row's unit."""
    return batch.numbers("unit_bucket").astype(np.int64) % folds


def _learner(name: str) -> Make:
    points = _points(name)
    if not points:
        raise BadCandidate(f"{_missing(name)}: nobody has named one")
    try:
        make: Make = points[0].load()
    except ImportError as error:
        raise BadCandidate(f"{_missing(name)}: {error}") from error
    return make


def _missing(name: str) -> str:
    return f"--reward-model {name}: pip install 'sidearm[learn]', for the learner cannot be loaded"


def _points(name: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP, name=name))
