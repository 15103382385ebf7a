"""The reward model as a learner: smoothed mean rewards by key and arm, never from the row's own fold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from offline_eval.engine import connect
from offline_eval.errors import BadCandidate
from offline_eval.reward_model import ModelSettings, RewardModel, fit_reward_model
from offline_eval.row_keys import COLUMNS, key_sql
from sidecar.contracts.errors import BadTable
from sidecar.policy.learning import FitLog, Fitted, Table, columns_of, numbers_of, with_column

_ROW = "row"


class RewardParams(NamedTuple):
    """How it is fitted, and which column is added."""

    model: ModelSettings
    column: str = "q"


def fit_reward(table: Table, params: RewardParams) -> Fitted:
    """The mean reward of a row's key and arm among rows of other folds than its unit's.

    Args:
        table: columns ``reward``, ``inclusion_probability``, ``unit_bucket``, ``arm``, and those that the
            model's keys name (``context``, JSON, for features).
        params: with more than one fold; with one, ``predicted`` would know the rows' own rewards.

    Raises:
        BadTable: see :class:`sidecar.policy.learning.Learner`; also, a single fold.
    """
    if params.model.folds < 2:
        raise BadTable("folds = 1 answers rows from their own rewards: legal are 2 and more")
    numbers_of(table, "reward", "inclusion_probability", "unit_bucket")
    with connect(threads=1) as connection:  # sums in the order of the rows
        connection.register("rows", _arrow(table, _read(params.model, "reward", "inclusion_probability")))
        try:
            model = fit_reward_model(connection, "rows", params.model)
        except BadCandidate as error:
            raise BadTable(str(error)) from error

    def predict(given: Table) -> Table:
        return with_column(given, params.column, _answers(given, model, params.model))

    folds, keys, arms = model.table.shape
    log: FitLog = {"learner": "reward model", "rows": len(table["reward"]), "folds": folds}
    return Fitted(predict, predict(table), log | {"keys": keys - 1, "arms": arms - 1})


def _answers(table: Table, model: RewardModel, settings: ModelSettings) -> npt.NDArray[np.float64]:
    with connect(threads=1) as connection:
        connection.register("rows", _arrow(table, _read(settings)))
        keys = connection.sql(f"SELECT {key_sql(settings.keys)} AS key FROM rows ORDER BY {_ROW}")  # noqa: S608 - our own names
        key_codes = model.key_codes(keys.to_arrow_table()["key"].combine_chunks())
    arms, buckets = columns_of(table, "arm", "unit_bucket")
    folds = model.fold_of(buckets.astype(np.int16))
    answers: npt.NDArray[np.float64] = model.table[
        folds, key_codes, model.arm_codes(pa.array(arms.tolist(), pa.string()))
    ]
    return answers


def _read(settings: ModelSettings, *more: str) -> list[str]:
    """The columns that are looked at."""
    named = [key for key in settings.keys if key in COLUMNS]
    context = ["context"] if len(named) < len(settings.keys) else []
    return ["arm", "unit_bucket", *named, *context, *more]


def _arrow(table: Table, names: list[str]) -> pa.Table:
    columns = {name: pa.array(c.tolist()) for name, c in zip(names, columns_of(table, *names), strict=True)}
    if not len(table["arm"]):  # an empty list says nothing of its type
        columns |= {name: pa.array([], pa.string()) for name in names if name in ("arm", "context")}
    return pa.table({**columns, _ROW: pa.array(range(len(table["arm"])), pa.int64())})
