"""The answers of many runs at once: each as :class:`Resolution`, or node by node where all went well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from operator import is_
from typing import Any, overload

from feature_graph.node import MISSING
from feature_graph.resolution import Resolution
from feature_graph.sheet import Sheet


class Resolutions(Sequence[Resolution]):
    """In the order of the runs; those that went side by side are made when somebody asks for them.

    Args:
        found: those that are there; None: ``make`` makes it.
        make: gives the resolution of a run, by its place.
        sheet: where all runs went side by side to the end.
    """

    __slots__ = ("_found", "_make", "_sheet")

    def __init__(
        self,
        found: Sequence[Resolution | None],
        make: Callable[[int], Resolution] | None = None,
        sheet: Sheet | None = None,
    ) -> None:
        self._found, self._make, self._sheet = list(found), make, sheet

    @property
    def all_well(self) -> bool:
        """True if all nodes that ran gave their own values, in every run, and held up nobody."""
        return self._sheet is not None and not self._sheet.plan.outcomes and not self._sheet.has_blocked

    def plainly(self, names: Iterable[str]) -> list[list[Any]] | None:
        """The values of ``names``, a list a name, a value a run; as :meth:`Resolution.plainly` of all runs.

        None: one of them is no such case, or it is not known without a closer look.
        """
        if self._sheet is None or not self.all_well:
            return None
        plan, columns, missing = self._sheet.plan, [], repeat(MISSING)
        for name in names:
            index = plan.index.get(name, -1)
            column = self._sheet.columns[index] if index >= len(plan.given) else None
            if column is None or any(map(is_, column, missing)):
                return None
            columns.append(column)
        return columns

    @overload
    def __getitem__(self, place: int) -> Resolution: ...
    @overload
    def __getitem__(self, place: slice) -> list[Resolution]: ...
    def __getitem__(self, place: int | slice) -> Resolution | list[Resolution]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        found = self._found[place]
        if found is None:
            assert self._make is not None
            found = self._found[place] = self._make(place % len(self._found))
        return found

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Resolution]:
        return map(self.__getitem__, range(len(self._found)))
