"""The in-adapter for many rows: those that are alike are stacked, one step of numpy for all of them.

Alike are rows with the same arms of the catalogue and the same names of fetched features, which most rows of
an application are; where there are few rows, other names will do, and what a row has not is padding. A row's
scores are, to the last bit, what :func:`sidecar.policy.model.scores_of` gives it alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from sidecar.contracts.wire import ScoreRow
from sidecar.policy.adapters import RowInput, adapt_in, own_arms
from sidecar.policy.arm_columns import laid_over, names_of
from sidecar.policy.arm_table import ArmTable
from sidecar.policy.contexts import Contexts, by_feature, compile_contexts
from sidecar.policy.features import ContextInput, HashArray, Magnitudes
from sidecar.policy.model import terms_of_an_arm

TERMS_AT_ONCE = 1 << 16
"""Of one stack: half a megabyte an array, which stays in the processor's cache."""
_FEW_TERMS = 1 << 15
"""Of a stack whose padding costs less than another stack would by itself."""


class Stack(NamedTuple):
    """Rows with equally many arms and features."""

    context_hashes: HashArray
    """``(n_rows, n_features)``, like its values; padded with hash 0 and value 0."""
    context_values: Magnitudes
    arm_hashes: HashArray
    """``(n_rows, n_arms, width)``, like its values; or ``(1, n_arms, width)`` where they are the same."""
    arm_values: Magnitudes

    def part(self, start: int, stop: int) -> Stack:
        """Some of the rows."""
        arms = slice(start, stop) if len(self.arm_hashes) > 1 else slice(None)
        return Stack(
            self.context_hashes[start:stop],
            self.context_values[start:stop],
            self.arm_hashes[arms],
            self.arm_values[arms],
        )

    def row(self, place: int) -> RowInput:
        """One of them, as if it had come alone."""
        hashes, values, arm_hashes, arm_values = self.part(place, place + 1)
        return RowInput(ContextInput(hashes[0], values[0]), ArmTable((), arm_hashes[0], arm_values[0]))


def alike(rows: Sequence[ScoreRow]) -> list[list[int]]:
    """Places of rows that are alike, each place once; a row that brings its arms is like no other."""
    found: defaultdict[object, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        found[place if row.given_arms else (row.arms, *row.arm_features)].append(place)
    return [*found.values()]


def joined(
    rows: Sequence[ScoreRow], groups: Sequence[list[int]], table: ArmTable, interactions: Collection[str]
) -> list[list[int]]:
    """Fewer groups than :func:`alike` found: few rows with the same arms, whatever the names.

    For rows whose contexts have the same features.
    """
    by_arms: defaultdict[object, list[list[int]]] = defaultdict(list)
    for places in groups:
        row = rows[places[0]]
        by_arms[places[0] if row.given_arms else row.arms].append(places)
    found: list[list[int]] = []
    for some in by_arms.values():
        whole, one_of_each = sorted(chain.from_iterable(some)), [rows[places[0]] for places in some]
        is_one = len(some) > 1 and len(whole) * _terms(one_of_each, table, interactions) <= _FEW_TERMS
        found += [whole] if is_one else some
    return found


class Block(NamedTuple):
    """Rows that go through the model in one step."""

    places: Sequence[int]
    inputs: Stack | RowInput
    """A row alone is a :class:`RowInput`."""


def blocks(
    rows: Sequence[ScoreRow], table: ArmTable | None, interactions: Collection[str]
) -> Iterator[Block]:
    """The in-adapter for all rows of a request: each is in one block.

    Args:
        rows: as they came.
        table: the catalogue that they point into; not needed where they bring their arms.
        interactions: of the models that will score them: how much one row takes.

    Raises:
        NothingToScore, UnknownCatalogue, BadEvent: as :func:`sidecar.policy.adapters.adapt_in`.
    """
    apart = alike(rows)
    groups = joined(rows, apart, table, interactions) if table is not None and len(apart) > 1 else apart
    contexts = by_feature([row.context for row in rows]) if len(groups) < len(rows) else None
    for places in groups if contexts is not None else apart:
        arms = own_arms(rows[places[0]], table) if len(places) > 1 else None
        step = 1 if arms is None else _at_once([rows[place] for place in places], arms, interactions)
        for start in range(0, len(places), step):
            some = places[start : start + step]
            if arms is None or step == 1:
                yield Block(some, adapt_in(rows[some[0]], table))
            else:
                own = contexts if contexts is None or len(some) == len(rows) else contexts.at(some)
                yield Block(some, stack([rows[place] for place in some], arms, own))


def _at_once(rows: Sequence[ScoreRow], arms: ArmTable, interactions: Collection[str]) -> int:
    """How many rows that are alike fit into one stack; 1 where nothing would be gained."""
    return max(1, TERMS_AT_ONCE // _terms(rows, arms, interactions))


def _terms(rows: Sequence[ScoreRow], arms: ArmTable, interactions: Collection[str]) -> int:
    """Of one of these rows."""
    n_features = max([len(row.context) for row in rows])
    width = int(arms.hashes.shape[1]) + len(names_of([row.arm_features for row in rows]))
    return len(arms.ids) * terms_of_an_arm(interactions, n_features, width)


def stack(rows: Sequence[ScoreRow], arms: ArmTable, contexts: Contexts | None = None) -> Stack:
    """The in-adapter for rows that have the same arms.

    Args:
        rows: at least one.
        arms: their eligible arms, as the catalogue has them.
        contexts: the rows' own, where they have been compiled.

    Raises:
        BadEvent: a broken column, or a number outside its range.
    """
    contexts = contexts or compile_contexts([row.context for row in rows])
    return Stack(*contexts, *_arms(rows, arms))


def _arms(rows: Sequence[ScoreRow], table: ArmTable) -> tuple[HashArray, Magnitudes]:
    """The arms of every row, with what was fetched for them; where that is nothing, once for all rows."""
    columns = [row.arm_features for row in rows]
    return laid_over(table, columns) if any(columns) else (table.hashes[None], table.values[None])
