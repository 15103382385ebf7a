"""In-adapter and out-adapter: rows of the in-schema to arrays; columns to rows of the out-schema.

What goes out has two keys: what decides, and what only the log needs. Nothing else leaves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.errors import NothingToScore, UnknownCatalogue
from sidecar.contracts.events import DecisionEvent, own_arms_of
from sidecar.contracts.wire import ScoredRow, ScoreRow, VersionScores
from sidecar.policy.arm_columns import with_columns
from sidecar.policy.arm_table import ArmTable, compile_arms
from sidecar.policy.features import ContextInput, compile_context
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.table import EXPECTED, PMF, RANK, SCORE, Table, of


class RowInput(NamedTuple):
    """What the model gets for one decision."""

    context: ContextInput
    arms: ArmTable


def adapt_in(row: ScoreRow, table: ArmTable | None) -> RowInput:
    """The in-adapter: one row of the in-schema as arrays.

    Args:
        row: as it came.
        table: the catalogue that ``row.arms`` points into; not needed where the row brings its arms.

    Raises:
        NothingToScore: the row names no arm.
        UnknownCatalogue: the row points into a catalogue, and there is none.
        BadEvent: a place outside the catalogue, a broken column, or a number outside its range.
    """
    return RowInput(compile_context(row.context), with_columns(own_arms(row, table), row.arm_features))


def own_arms(row: ScoreRow, table: ArmTable | None) -> ArmTable:
    """A row's eligible arms, without what was fetched for them.

    Raises:
        NothingToScore, UnknownCatalogue, BadEvent: as :func:`adapt_in`.
    """
    if row.given_arms:
        return compile_arms(row.given_arms)
    if table is None:
        raise UnknownCatalogue("a row points into a catalogue that the request does not name")
    if row.arms is None:
        return table
    if not row.arms:
        raise NothingToScore("no arm is eligible: at least one is needed")
    return table.at(row.arms)


def own_arms_of_event(event: DecisionEvent, catalogue: Catalogue, tables: ArmTables) -> ArmTable:
    """The same of a logged decision, from the compiled catalogue where that has them all.

    Raises:
        BadEvent: ``catalogue`` is not the one that the event names.
    """
    if not event.given_arms and event.catalogue == catalogue.version:
        table = tables.of(catalogue)
        if not event.arms:
            return table
        if table.places.keys() >= set(event.arms):
            return table.at([table.places[arm_id] for arm_id in event.arms])
    return compile_arms(own_arms_of(event, catalogue))


def adapt_out(table: Table) -> tuple[ScoredRow, ...]:
    """The out-adapter: of each row, as bytes, what decides and what only the log needs."""
    decides = table.cut(SCORE), table.cut(PMF)
    logged = table.cut(EXPECTED), table.cut(RANK)
    return tuple(map(ScoredRow, *decides, *logged))


def adapt_out_version(table: Table, version: int) -> VersionScores:
    """Likewise of one deployed version, all rows one after the other."""
    columns = [table.columns.get(of(version, name)) for name in (SCORE, EXPECTED, RANK)]
    return VersionScores(version, *[b"" if one is None else one.tobytes() for one in columns])


def read_scores(data: bytes) -> npt.NDArray[np.float32]:
    """Scores as :func:`adapt_out` and the decision event hold them."""
    return np.frombuffer(data, "<f4")


def read_pmf(data: bytes) -> npt.NDArray[np.float64]:
    """A pmf as :func:`adapt_out` holds it."""
    return np.frombuffer(data, "<f8")
