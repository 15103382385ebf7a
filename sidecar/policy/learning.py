"""The one interface of everything that is trained: ``fit(table, params) -> (predict, predicted, log)``.

A table is a mapping of column names to arrays of one length. ``predict`` keeps the rows and the columns of
its table and adds its own. ``predicted`` is the training table with the same columns added, each value as it
was foreseen without the row's own reward: before learning from the row, or from other folds. So what was
evaluated is what serves, and what is trained on it next is trained on honest predictions.

The idea is that of fklearn's learners; ``tests/parity/test_learners.py`` holds every learner of ours to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from sidecar.contracts.errors import BadTable
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.weights import Weights

Column = npt.NDArray[Any]
Table = Mapping[str, Column]
Predict = Callable[[Table], Table]
Params = TypeVar("Params", contravariant=True)
FitLog = dict[str, str | int | float]
"""``learner``, ``rows``, and what else there is to say: plain values, the same for the same fit."""


class Fitted(NamedTuple):
    """What comes of a fit."""

    predict: Predict
    predicted: Table
    log: FitLog


class Learner(Protocol[Params]):
    """Something that is trained."""

    def __call__(self, table: Table, params: Params) -> Fitted:
        """Fit on a table.

        Raises:
            BadTable: a column is missing, of another length, not finite, or there already though to be added.
        """


class RewardTrainer(Protocol):
    """Something that learns from decisions what rewards to expect, part by part: a log is never held whole.

    Who has one names a factory ``(catalogue by its version) -> RewardTrainer`` as an entry point of the group
    ``sidearm.reward_trainers``, so that an evaluation finds it without knowing whose it is.
    """

    def learn(self, events: Sequence[DecisionEvent], rewards: Sequence[float]) -> None:
        """Learn from some decisions, in their order."""

    def weights(self) -> Weights:
        """What has been learnt, to be scored by ``sidecar.policy``: a score is the reward to expect."""


def fit_in_sequence(table: Table, *fits: Callable[[Table], Fitted]) -> Fitted:
    """Fit each on what the one before foresaw: one learner of several.

    Args:
        table: what the first one is trained on.
        fits: learners with their params bound.
    """
    done: list[Fitted] = []
    for fit in fits:
        done.append(fit(done[-1].predicted if done else table))
    log: FitLog = {f"{n}.{name}": value for n, one in enumerate(done) for name, value in one.log.items()}
    return Fitted(
        lambda given: reduce(lambda table, one: one.predict(table), done, given),
        done[-1].predicted if done else table,
        {"learner": "sequence", "rows": rows_of(table), **log},
    )


def columns_of(table: Table, *names: str) -> list[Column]:
    """Columns that a learner needs, checked.

    Raises:
        BadTable: one is missing, not as long as the others, or holds a number that is none.
    """
    missing = [name for name in names if name not in table]
    if missing:
        raise BadTable(f"no column {', '.join(missing)}: there are {', '.join(table) or 'none'}")
    rows_of(table)
    for name in names:
        column = table[name]
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise BadTable(
                f"column {name} holds {column[~np.isfinite(column)][0]}: only finite numbers teach"
            )
    return [table[name] for name in names]


def numbers_of(table: Table, *names: str) -> list[npt.NDArray[np.float64]]:
    """The same as float64.

    Raises:
        BadTable: as :func:`columns_of`, or no numbers.
    """
    try:
        return [column.astype(np.float64) for column in columns_of(table, *names)]
    except (ValueError, TypeError) as error:
        raise BadTable(f"columns {', '.join(names)} are to be numbers: {error}") from error


def with_column(table: Table, name: str, values: Column) -> Table:
    """The table and one column more.

    Raises:
        BadTable: there is one of that name, which would be lost.
    """
    if name in table:
        raise BadTable(f"there is a column {name} already: what is predicted needs a name of its own")
    return {**table, name: values}


def rows_of(table: Table) -> int:
    """How many rows a table has.

    Raises:
        BadTable: its columns differ in that.
    """
    lengths = {name: len(column) for name, column in table.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise BadTable(f"columns of different lengths: {told}")
    return next(iter(lengths.values()), 0)


def rows_at(table: Table, places: Sequence[int] | npt.NDArray[np.intp]) -> Table:
    """Some rows of a table, in the order of ``places``."""
    chosen = np.asarray(places, np.intp)
    return {name: column[chosen] for name, column in table.items()}


def objects_of(values: Sequence[object]) -> Column:
    """A column of whatever it is, a value a row."""
    column = np.empty(len(values), object)
    for place, value in enumerate(values):  # all at once, numpy would look into tuples
        column[place] = value
    return column
