"""Policies to be evaluated: each gives its probabilities over the eligible arms of logged decisions.

``uniform``; ``greedy``, ``epsilon:<share>``, ``softmax:<temperature>`` and ``squarecb:<gamma>`` of a model's
weights; a table of probabilities; and ``logged``, the policy that made the log. Models score through
``sidecar.policy``: what is evaluated is what would serve.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offline_eval.batches import Batch
from offline_eval.errors import BadCandidate
from offline_eval.terms import Floats
from sidecar.contracts.application import Exploration
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.weights import Weights
from sidecar.policy.exploration import pmf_of
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import scores_of_event

_SUM_TOLERANCE = 1e-6  # how far a given distribution may be from one


class TargetPolicy(Protocol):
    """What an evaluation asks of a policy."""

    @property
    def name(self) -> str:
        """As it stands in tables."""

    @property
    def needs_events(self) -> bool:
        """Whether it scores, and therefore needs the stored decision."""

    @property
    def key(self) -> tuple[str, ...]:
        """What it looks up beside the arm (``offline_eval.row_keys``); the batch then has ``key_<name>``."""

    def pmf(self, batch: Batch) -> Floats:
        """(m,) probabilities of all eligible arms; NaN in rows where they are not known."""

    def chosen(self, batch: Batch, pmf: Floats) -> Floats:
        """(n,) probability of the arm that was shown."""


class _Plain:
    """What most policies share."""

    needs_events = False
    key: tuple[str, ...] = ()

    def chosen(self, batch: Batch, pmf: Floats) -> Floats:
        """(n,) probability of the arm that was shown."""
        return pmf[batch.chosen]


class Uniform(_Plain):
    """Every eligible arm alike."""

    name = "uniform"

    def pmf(self, batch: Batch) -> Floats:
        """(m,) probabilities."""
        return np.repeat(1.0 / batch.counts, batch.counts)


class Logged(_Plain):
    """The policy that made the log: its weights are 1, exactly."""

    name = "logged"

    def pmf(self, batch: Batch) -> Floats:
        """(m,) the logged probabilities; imports often know only that of the shown arm."""
        return batch.logged_pmf

    def chosen(self, batch: Batch, pmf: Floats) -> Floats:
        """(n,) the logged propensity: that of the whole procedure, which the pmf of one model need not be."""
        return batch.numbers("propensity")


class Scored(_Plain):
    """A model's weights with an exploration of their own, instead of that which served."""

    needs_events = True

    def __init__(self, name: str, weights: Weights, exploration: Exploration) -> None:
        self.name = name
        self.weights = weights
        self.exploration = exploration
        self._tables = ArmTables()
        self._catalogues: dict[str, Catalogue] = {}

    def pmf(self, batch: Batch) -> Floats:
        """(m,) probabilities over the arms that were eligible then, with the features that they had then.

        Raises:
            BadLog: the log lacks the catalogue of a decision.
        """
        rows = [
            pmf_of(
                scores_of_event(event, self._catalogue(event.catalogue, batch), self.weights, self._tables),
                self.exploration,
            )
            for event in batch.events
        ]
        return np.concatenate(rows) if rows else np.zeros(0)

    def _catalogue(self, version: str, batch: Batch) -> Catalogue:
        if version not in self._catalogues:
            self._catalogues[version] = batch.log.catalogue(version)
        return self._catalogues[version]


class Table(_Plain):
    """A table of probabilities, per arm and, if given, per key: a policy without context.

    Args:
        name: as it stands in tables.
        probabilities: key value, as text, to arm to probability; every distribution sums to one. Arms that
            are not eligible in a row lose their share to the others; an arm that is not listed has none.
        by: what the key is (``offline_eval.row_keys``), such as ``slot`` or ``context.position``; empty:
            one distribution for all rows, under the key ``""``.

    Raises:
        BadCandidate: a probability outside [0, 1], or a distribution that does not sum to one.
    """

    def __init__(self, name: str, probabilities: Mapping[str, Mapping[str, float]], by: str = "") -> None:
        self.name = name
        self.key = (by,) if by else ()
        for key, pmf in probabilities.items():
            _check_distribution(f"table {name!r}, key {key!r}", list(pmf.values()))
        self._keys = {_canonical(key): place for place, key in enumerate(probabilities)}
        arms = sorted({arm for pmf in probabilities.values() for arm in pmf})
        self._arms = pa.array(arms, pa.string())
        # One more key and arm, of no probability, for what is not listed.
        self._table = np.zeros((len(self._keys) + 1, len(arms) + 1))
        for key, pmf in probabilities.items():
            for arm, probability in pmf.items():
                self._table[self._keys[_canonical(key)], arms.index(arm)] = probability

    @property
    def digest(self) -> str:
        """Of what it says."""
        said = msgspec.json.encode([list(self._keys), self._arms.to_pylist(), self._table.tolist()])
        return hashlib.sha256(said).hexdigest()

    def pmf(self, batch: Batch) -> Floats:
        """(m,) probabilities; NaN where the key is not listed, or no eligible arm has any."""
        names = batch.column(f"key_{self.name}").dictionary_encode()
        places = [self._keys.get(_canonical(key), len(self._keys)) for key in names.dictionary.to_pylist()]
        keys = np.array(places, dtype=np.int64)[names.indices.to_numpy(zero_copy_only=False)]
        arms = pc.fill_null(pc.index_in(batch.arms, value_set=self._arms), len(self._arms))
        flat = self._table[np.repeat(keys, batch.counts), arms.to_numpy(zero_copy_only=False)]
        mass = np.repeat(batch.sum_by_row(flat), batch.counts)
        shares: Floats = np.divide(flat, mass, out=np.full(len(flat), np.nan), where=mass > 0)
        return shares


def greedy(weights: Weights) -> Scored:
    """Always the best arm; arms of equal score share."""
    return Scored("greedy", weights, Exploration("epsilon_greedy", 0.0, 0.0))


def epsilon_greedy(weights: Weights, epsilon: float) -> Scored:
    """The best arm but for a share that all arms get evenly.

    Raises:
        BadCandidate: a share outside [0, 1].
    """
    if not 0.0 <= epsilon <= 1.0:
        raise BadCandidate(f"epsilon {epsilon!r}: legal are 0 to 1")
    return Scored(f"epsilon:{epsilon:g}", weights, Exploration("epsilon_greedy", epsilon, 0.0))


def softmax(weights: Weights, temperature: float) -> Scored:
    """Every arm in proportion to ``exp(score / temperature)``.

    Raises:
        BadCandidate: a temperature outside [1e-6, 1e9].
    """
    if not 1e-6 <= temperature <= 1e9:
        raise BadCandidate(f"temperature {temperature!r}: legal are 1e-06 to 1e+09")
    explores = Exploration("softmax", control_share=0.0, temperature=temperature)
    return Scored(f"softmax:{temperature:g}", weights, explores)


def squarecb(weights: Weights, gamma: float) -> Scored:
    """Every arm the rarer the further it lies below the best.

    Raises:
        BadCandidate: a gamma outside [0, 1e9].
    """
    if not 0.0 <= gamma <= 1e9:
        raise BadCandidate(f"gamma {gamma!r}: legal are 0 to 1e+09")
    return Scored(f"squarecb:{gamma:g}", weights, Exploration("squarecb", control_share=0.0, gamma=gamma))


def _check_distribution(where: str, probabilities: list[float]) -> None:
    if not all(0.0 <= p <= 1.0 for p in probabilities):
        raise BadCandidate(f"{where}: every probability must lie in [0, 1]")
    if abs(sum(probabilities) - 1.0) > _SUM_TOLERANCE:
        raise BadCandidate(f"{where}: probabilities sum to {sum(probabilities):.9g}, not to 1")


def _canonical(key: str) -> str:
    """Key values that are numbers are the same number however they are written: 1, 1.0."""
    try:
        return repr(float(key))
    except ValueError:
        return key
