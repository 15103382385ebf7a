"""Rows as what they are asked for as, made of the bytes that a table holds."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from decision_service.sources.errors import BadAnswer
from decision_service.sources.rows import typed
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.feature_table import TableRecord, decode_row

T = TypeVar("T")

ROWS_MADE = 4_096
"""Rows of a frozen type that a table keeps as they were made: some megabytes."""


class Made(dict[bytes, T]):
    """A row for its bytes, of one generation; where nobody can change it, the same bytes are made once.

    Args:
        record: of the generation.
        kind: of the rows.
        keeps: nobody can change a row of that kind.
    """

    __slots__ = ("_keeps", "_kind", "record")

    def __init__(self, record: TableRecord, kind: type[T], *, keeps: bool) -> None:
        super().__init__()
        self.record, self._kind, self._keeps = record, kind, keeps

    def __missing__(self, data: bytes) -> T:
        """Make it.

        Raises:
            BadAnswer: the bytes are no row of the table, or the row is not of the type.
        """
        try:
            row = decode_row(self.record, data)
        except BadEvent as error:
            raise BadAnswer(str(error)) from error
        made = typed(row, self._kind, f"the table {self.record.table!r}")
        if self._keeps:
            if len(self) >= ROWS_MADE:
                self.clear()
            self[data] = made
        return made


def is_frozen(kind: type) -> bool:
    """Whether rows of it are what nobody can change."""
    return issubclass(kind, msgspec.Struct) and bool(kind.__struct_config__.frozen)
