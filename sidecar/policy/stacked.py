"""The in-adapter for many rows: those that are alike are stacked, one step of numpy for all of them.

Alike are rows with the same arms of the catalogue and the same names of fetched features, which most rows of
an application are; where padding costs less than another stack, other names will do. A row's scores are, to
the last bit, what :func:`sidecar.policy.model.scores_of` gives it alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from sidecar.contracts.wire import ScoreRow
from sidecar.policy.adapters import RowInput, adapt_in, own_arms
from sidecar.policy.arm_columns import laid_over, names_of
from sidecar.policy.arm_table import ArmTable
from sidecar.policy.contexts import Contexts, by_feature, compile_contexts
from sidecar.policy.features import ContextInput, HashArray, Magnitudes
from sidecar.policy.model import terms_of_an_arm

TERMS_AT_ONCE = 1 << 17
"""Of one stack: a megabyte an array, which stays in the processor's cache."""
_PADDING = 1 << 15
"""Terms of it that take less time than another stack does whatever its size."""


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


class Alike(NamedTuple):
    """Rows that can be stacked."""

    places: list[int]
    kinds: list[ScoreRow]
    """A row of each set of names of fetched features among them."""


def alike(rows: Sequence[ScoreRow]) -> list[Alike]:
    """Rows with the same arms and names, each once; a row that brings its arms is like no other."""
    found: defaultdict[object, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        found[place if row.given_arms else (row.arms, *row.arm_features)].append(place)
    return [Alike(places, [rows[places[0]]]) for places in found.values()]


def joined(groups: Sequence[Alike], terms_of: Callable[[Sequence[ScoreRow]], int]) -> list[Alike]:
    """Fewer groups than :func:`alike` found: rows with the same arms, where that takes less time.

    Args:
        groups: of rows whose contexts have the same features.
        terms_of: how many one row takes in a stack of rows of these kinds.
    """
    by_arms: defaultdict[object, list[Alike]] = defaultdict(list)
    for group in groups:
        row = group.kinds[0]
        by_arms[group.places[0] if row.given_arms else row.arms].append(group)
    found: list[Alike] = []
    for some in by_arms.values():
        places, kinds = [[*chain.from_iterable(parts)] for parts in zip(*some, strict=True)]
        one = Alike(sorted(places), kinds)
        found += [one] if len(some) > 1 and _is_better(one, some, terms_of) else some
    return found


def _is_better(one: Alike, some: Sequence[Alike], terms_of: Callable[[Sequence[ScoreRow]], int]) -> bool:
    """Whether it is one stack, with less padding than stacks are saved."""
    terms = len(one.places) * terms_of(one.kinds)
    apart = sum([len(group.places) * terms_of(group.kinds) for group in some])
    return terms <= TERMS_AT_ONCE and terms - apart <= (len(some) - 1) * _PADDING


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
    apart, widest = alike(rows), max([len(row.context) for row in rows], default=0)
    groups = apart
    if table is not None and len(apart) > 1:
        groups = joined(apart, partial(_terms, n_features=widest, arms=table, interactions=interactions))
    contexts = by_feature([row.context for row in rows]) if len(groups) < len(rows) else None
    for places, kinds in groups if contexts is not None else apart:
        arms = own_arms(kinds[0], table) if len(places) > 1 else None
        step = 1 if arms is None else max(1, TERMS_AT_ONCE // _terms(kinds, widest, arms, interactions))
        for start in range(0, len(places), step):
            some = places[start : start + step]
            if arms is None or step == 1:
                yield Block(some, adapt_in(rows[some[0]], table))
            else:
                own = contexts if contexts is None or len(some) == len(rows) else contexts.at(some)
                yield Block(some, stack([rows[place] for place in some], arms, own))


def _terms(kinds: Sequence[ScoreRow], n_features: int, arms: ArmTable, interactions: Collection[str]) -> int:
    """Of one row in a stack of rows of these kinds."""
    width = int(arms.hashes.shape[1]) + len(names_of([row.arm_features for row in kinds]))
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
