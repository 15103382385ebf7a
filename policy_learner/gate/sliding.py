"""Rows of numbers of which the latest are kept, side by side in memory.

What is looked at as a whole twenty times a second must not lie in a thousand objects: most of the time would
go into finding them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_ROOM = 2
"""Times as much as is kept: rows are moved to the front once in so many."""


class Sliding:
    """Rows of one number each, or of several; the first can be forgotten.

    A row that is wider than those before makes all wider; what is missing is filled with zeros.

    Args:
        kind: of the numbers.
        is_wide: whether a row holds several.

    >>> rows = Sliding(np.int64, is_wide=True)
    >>> rows.append([[1, 2]])
    >>> rows.append([[3, 4, 5]])
    >>> rows.all.tolist()
    [[1, 2, 0], [3, 4, 5]]
    >>> rows.keep(1)
    >>> rows.all.tolist()
    [[3, 4, 5]]
    """

    def __init__(self, kind: type[np.generic], is_wide: bool = False) -> None:
        self._held: npt.NDArray[Any] = np.zeros((0, 0) if is_wide else 0, kind)
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def all(self) -> npt.NDArray[Any]:
        """What is kept: a view, good until the next :meth:`append`."""
        return self._held[self._start : self._end]

    def append(self, rows: npt.ArrayLike) -> None:
        """Add rows at the end."""
        added = np.asarray(rows)
        if added.shape[1:] != self._held.shape[1:]:
            added = self._as_wide(added)
        if self._end + len(added) > len(self._held):
            self._move((_ROOM * (len(self) + len(added)), *self._held.shape[1:]))
        self._held[self._end : self._end + len(added)] = added
        self._end += len(added)

    def keep(self, most: int) -> None:
        """Forget the first rows, down to ``most``."""
        self._start = max(self._start, self._end - most)

    def _as_wide(self, added: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """New rows and those that are here, all as wide as the widest of them."""
        (width,) = (max(pair) for pair in zip(self._held.shape[1:], added.shape[1:], strict=True))
        if width > self._held.shape[1]:
            self._move((_ROOM * (len(self) + len(added)), width))
        filled = np.zeros((len(added), width), added.dtype)
        filled[:, : added.shape[1]] = added
        return filled

    def _move(self, shape: tuple[int, ...]) -> None:
        kept = self.all
        self._held = np.zeros(shape, kept.dtype)
        self._held[_corner(0, kept.shape)] = kept
        self._start, self._end = 0, len(kept)


def _corner(start: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The rows from ``start`` on, and as many columns as there are."""
    return slice(start, start + shape[0]), *[slice(0, size) for size in shape[1:]]
