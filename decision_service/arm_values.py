"""From what nodes say of arms to columns of features, an entry an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
from msgspec import Struct

from decision_service.api.values import MAX_FEATURES
from decision_service.feature_values import FALLBACK, OK, UNUSABLE, WORDS, plain_text, usable
from decision_service.prepolicy import Eligible
from feature_graph import Resolution
from feature_graph.node import MISSING
from sidecar.contracts.application import FeatureValue
from sidecar.contracts.arm_features import Column, Columns, Levels, column_of, levels_of

_MAX_NAME = 256
_FEW_ARMS = 64
"""Of so many it is remembered what a column of truth is."""
_PLAIN = frozenset((bool, None.__class__))
"""Classes of values that are features as they are."""


class ArmFeatures(Struct, frozen=True):
    """Features of single arms, and how they were had."""

    columns: Columns
    outcomes: dict[str, str]
    """Node to how its values were had: ``unusable`` or ``fallback`` if some of them were had so."""
    by_arm: dict[str, Levels]
    """Node to how each arm's was had, where not all were had alike."""


NO_ARM_FEATURES = ArmFeatures({}, {}, {})


def arm_features(found: Resolution, nodes: Sequence[str], arms: Eligible) -> ArmFeatures:
    """The features of single arms that ``nodes`` give, but for those that the request gives itself."""
    if not nodes:
        return NO_ARM_FEATURES
    plain: Columns = {}
    said = found.plainly(nodes)
    if said is not None and not put_columns(nodes, [[one] for one in said], [arms], [plain]):
        return ArmFeatures(plain, dict.fromkeys(nodes, OK), {})
    table = _Table(len(arms.ids))
    outcomes: dict[str, str] = {}
    by_arm: dict[str, Levels] = {}
    for node in nodes:
        how, others = _fill(table, found, node)
        outcomes[node] = next((bad for bad in (UNUSABLE, FALLBACK) if bad in others.values()), how)
        if others:
            by_arm[node] = levels_of([others.get(place, how) for place in range(table.n_arms)])
    for place, arm_id in enumerate(arms.ids) if arms.given else ():
        table.leave_out(place, arms.given.get(arm_id, {}))
    columns = {name: column_of(values) for name, values in table.values.items()}
    return ArmFeatures({name: column for name, column in columns.items() if column}, outcomes, by_arm)


def put_columns(
    nodes: Sequence[str], values: Sequence[Sequence[Any]], arms: Sequence[Eligible], rows: Sequence[Columns]
) -> set[int]:
    """Put what each node said, its own value for each of ``rows``, there; the places that need a closer look.

    Those are the ones where a node does not say truth of every arm, or nothing, as most do.
    """
    close = {place for place, of in enumerate(arms) if nodes and (of.given or len(nodes) > MAX_FEATURES)}
    for node, column in zip(nodes, values, strict=True):
        for place, (row, said, of) in enumerate(zip(rows, column, arms, strict=True)):
            if (
                said.__class__ is not list
                or len(said) != len(of.ids)
                or not _PLAIN.issuperset(map(type, said))
            ):
                close.add(place)
            elif made := _column_of_truth(tuple(said)) if len(said) <= _FEW_ARMS else column_of(said):
                row[node] = made
    return close


def together(shared: ArmFeatures, own: ArmFeatures) -> ArmFeatures:
    """Both; where they have a feature in common the own one covers the shared one."""
    if shared is NO_ARM_FEATURES:
        return own
    columns = {**shared.columns, **own.columns}
    return ArmFeatures(columns, {**shared.outcomes, **own.outcomes}, {**shared.by_arm, **own.by_arm})


@lru_cache(maxsize=4096)
def _column_of_truth(values: tuple[bool | None, ...]) -> Column | None:
    """``column_of``, remembered. Never of numbers, of which 1 is equal to True."""
    return column_of(values)


class _Table:
    """Feature name to a value for each arm."""

    def __init__(self, n_arms: int) -> None:
        self.n_arms = n_arms
        self.values: dict[str, list[FeatureValue | None]] = {}

    def put_column(self, name: str, values: Sequence[object]) -> bool:
        """Set the values of all arms, each a feature or None as it is; False if there is no room."""
        if name in self.values or len(self.values) >= MAX_FEATURES:
            return False
        self.values[name] = list(cast("Sequence[FeatureValue | None]", values))
        return True

    def put(self, name: str, place: int, value: object) -> bool:
        """Set one value; False if it cannot be a feature."""
        feature = usable(value)
        if feature is None:
            return False
        if name not in self.values:
            if len(self.values) >= MAX_FEATURES:
                return False
            self.values[name] = [None] * self.n_arms
        self.values[name][place] = feature
        return True

    def put_all(self, place: int, value: Mapping[object, object]) -> bool:
        """Set the values of a mapping; False if one of them cannot be a feature."""
        whole = True
        for name, one in value.items():
            fits = isinstance(name, str) and 0 < len(name) <= _MAX_NAME and plain_text(name) is not None
            if not fits or (one is not None and not self.put(str.__str__(name), place, one)):
                whole = False
        return whole

    def leave_out(self, place: int, names: Mapping[str, object]) -> None:
        """Take back an arm's features of these names."""
        for name in names:
            if name in self.values:
                self.values[name][place] = None


def _fill(table: _Table, found: Resolution, node: str) -> tuple[str, dict[int, str]]:
    """Put what a node says into the table; how its values were had, and where one was had otherwise."""
    said = found.get(node, MISSING)
    if said is MISSING:
        return found.outcomes[node].status.value, {}
    values = _elements(said, table.n_arms)
    if values is None:
        return UNUSABLE, {}
    how, others = _words(found, node)
    if {value.__class__ for value in values} <= _PLAIN and table.put_column(node, values):
        return how, others
    for place, value in enumerate(values):
        if value is not None and not _put(table, node, place, value):
            others[place] = UNUSABLE
    if len(others) == table.n_arms and set(others.values()) == {UNUSABLE}:
        return UNUSABLE, {}
    return how, others


def _put(table: _Table, node: str, place: int, value: object) -> bool:
    if not isinstance(value, Mapping):
        return table.put(node, place, value)
    try:
        return table.put_all(place, value)
    except Exception:  # an application's own type may raise anything
        return False


def _elements(value: object, n_arms: int) -> Sequence[object] | None:
    """A value for each arm; None if that is not what it is."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return value if isinstance(value, list | tuple) and len(value) == n_arms else None


def _words(found: Resolution, node: str) -> tuple[str, dict[int, str]]:
    """How values were had, as the graph knows: an ``each`` tells which of its elements fell back."""
    if found.whole:
        return WORDS[found.had(node)[0]], {}
    outcome, behind = found.outcomes[node], found.degraded(node)
    if not behind:
        return outcome.status.value, {}
    fallen = outcome.notes.get("fallback_at")
    if isinstance(fallen, tuple) and behind == (node,):
        return OK, dict.fromkeys(fallen, FALLBACK)
    return FALLBACK, {}
