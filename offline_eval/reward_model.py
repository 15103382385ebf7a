"""A reward model in closed form: smoothed mean reward per key and arm, cross-fitted.

For arm a and key k (any columns or context features, none by default)::

    q(k, a) = (sum of rewards + m b) / (rows + m),   b the mean reward, m the prior's rows

A model that has seen the rows it is judged on makes DR look better than it is. So units are split into folds
by their bucket, and rows of a fold are answered from the others (Victor Chernozhukov et al.: Double/debiased
machine learning for treatment and structural parameters, 2018). ``folds = 1`` fits and answers on the same
rows: exact closed form, for comparison with published figures only.
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from offline_eval.batches import Batch
from offline_eval.errors import BadCandidate
from offline_eval.row_keys import key_sql
from offline_eval.terms import Floats

Codes = npt.NDArray[np.int64]

_MOST_CELLS = 20_000_000  # 160 MB: beyond it the keys name single users, and a mean per cell means nothing


@dataclass(frozen=True)
class ModelSettings:
    """How the reward model is fitted."""

    keys: tuple[str, ...] = ()
    """What is told apart beside the arm: see ``offline_eval.row_keys``."""
    prior_rows: float = 100.0
    """m, the rows that the overall mean counts for; > 0."""
    folds: int = 5
    """Parts of the cross-fit; 1 is none."""
    weights: str = ""
    """A trained model instead (``reward_weights.py``): a weights file, or a store's URL."""
    learner: str = ""
    """A learner instead, cross-fitted (``reward_crossfit.py``), by the name of its entry point: ``vw``."""


class Expecting(Protocol):
    """What an evaluation asks of a reward model."""

    @property
    def needs_events(self) -> bool:
        """Whether it needs the stored decisions."""

    @property
    def name(self) -> str:
        """What it is, in a few words."""

    @property
    def caution(self) -> str:
        """What speaks against it; empty: nothing."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most that it ever expects."""

    def expected(self, batch: Batch, key: str) -> Floats:
        """(m,) what it expects of every eligible arm; ``key`` is the column with the rows' keys."""


@dataclass(frozen=True, eq=False)
class RewardModel:
    """q for every fold, key and arm; the last key and the last arm stand for what was never seen."""

    table: Floats
    """(folds, keys + 1, arms + 1)."""
    keys: pa.Array
    arms: pa.Array
    folds: int
    named: tuple[str, ...] = ()
    """What the keys are of."""
    needs_events = False

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        return f"mean rewards by {', '.join(('arm', *self.named))}"

    @property
    def caution(self) -> str:
        """Said where it has seen the answers."""
        return "the reward model was fitted on the rows it is asked about" if self.folds < 2 else ""

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most that it ever expects."""
        return float(self.table.min()), float(self.table.max())

    def expected(self, batch: Batch, key: str) -> Floats:
        """(m,) what it expects of every eligible arm."""
        folds = self.fold_of(batch.column("unit_bucket").to_numpy(zero_copy_only=False))
        keys = self.key_codes(batch.column(key))
        of_row = (np.repeat(folds, batch.counts), np.repeat(keys, batch.counts))
        answers: Floats = self.table[*of_row, self.arm_codes(batch.arms)]
        return answers

    def arm_codes(self, arms: pa.Array) -> Codes:
        """Places of arms in the table."""
        return _codes(arms, self.arms)

    def key_codes(self, keys: pa.Array) -> Codes:
        """Places of keys in the table."""
        return _codes(keys, self.keys)

    def fold_of(self, unit_bucket: npt.NDArray[np.int16]) -> Codes:
        """The fold whose rows a unit belongs to, and which therefore did not shape its answer."""
        return unit_bucket.astype(np.int64) % self.folds


def fit_reward_model(
    connection: duckdb.DuckDBPyConnection, relation: str, settings: ModelSettings
) -> RewardModel:
    """Fit on a relation with reward, inclusion_probability, unit_bucket, arm and the keys' columns.

    Raises:
        BadCandidate: an unknown key, numbers outside their range, or keys that tell nearly all rows apart.
    """
    if settings.folds < 1 or not settings.prior_rows > 0:
        raise BadCandidate("the reward model needs folds >= 1 and prior_rows > 0")
    counted = connection.sql(f"""
        SELECT CAST(unit_bucket % {int(settings.folds)} AS BIGINT) AS fold,
               {key_sql(settings.keys)} AS key, arm,
               fsum(CAST(reward AS DOUBLE) / inclusion_probability) AS reward,
               fsum(1.0 / inclusion_probability) AS total
        FROM {relation} GROUP BY ALL ORDER BY ALL""").to_arrow_table()
    keys, arms = pc.unique(counted["key"]), pc.unique(counted["arm"])
    shape = (settings.folds, len(keys) + 1, len(arms) + 1)
    if np.prod(shape) > _MOST_CELLS:
        raise BadCandidate(f"reward model keys {', '.join(settings.keys)} make {shape[1]} groups: use fewer")
    where = (
        counted["fold"].to_numpy(),
        _codes(counted["key"].combine_chunks(), keys),
        _codes(counted["arm"].combine_chunks(), arms),
    )
    rewards, totals = np.zeros(shape), np.zeros(shape)
    rewards[where], totals[where] = counted["reward"].to_numpy(), counted["total"].to_numpy()
    table = _smoothed(rewards, totals, settings.prior_rows)
    return RewardModel(table, keys, arms, settings.folds, settings.keys)


def _smoothed(rewards: Floats, totals: Floats, prior_rows: float) -> Floats:
    """(folds, keys, arms) answers, each fold's from the sums of the others."""
    if len(rewards) > 1:
        rewards = rewards.sum(axis=0, keepdims=True) - rewards
        totals = totals.sum(axis=0, keepdims=True) - totals
    seen = totals.sum(axis=(1, 2), keepdims=True)
    mean = np.divide(rewards.sum(axis=(1, 2), keepdims=True), seen, out=np.zeros_like(seen), where=seen > 0)
    answers: Floats = (rewards + prior_rows * mean) / (totals + prior_rows)
    return answers


def _codes(values: pa.Array, known: pa.Array) -> Codes:
    """Places in ``known``; one past its end for what is not there."""
    places = pc.index_in(values, value_set=known)
    codes: Codes = pc.fill_null(places, len(known)).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes
