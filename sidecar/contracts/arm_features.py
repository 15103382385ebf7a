"""Features of single arms that were fetched for one decision, column by column: name to a value per arm.

Twenty or five thousand arms share a name, and mostly a few values: a column of numbers is four bytes an arm,
one of categories a byte an arm and each category once. Both travel and are stored as they are, and both are
exactly what is scored: the trainer sees 32-bit magnitudes anyway.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from sidecar.contracts.application import Arm, Features, FeatureValue
from sidecar.contracts.errors import BadEvent

_ONE_BYTE = 255
"""Most levels whose codes are single bytes; beyond it each takes two."""


class Levels(Struct, frozen=True, array_like=True):
    """A column of few different values."""

    levels: tuple[FeatureValue, ...]
    codes: bytes
    """For each arm the place of its value in ``levels``, counted from 1; 0: it has none. One byte each, two
    (little-endian) where there are more than 255 levels."""


Column = bytes | Levels
"""Values of one feature, one per eligible arm in their order. Bytes are float32, little-endian; NaN: none."""

Columns = dict[str, Column]
"""Feature name to its column."""


def column_of(values: Sequence[FeatureValue | None]) -> Column | None:
    r"""Values of one feature, None where an arm has none, as a column; None if no arm has one.

    Numbers are finite and fit a float32.

    >>> column_of(["red", None, "red"])
    Levels(levels=('red',), codes=b'\x01\x00\x01')
    >>> column_of([0.5, None]).hex()
    '0000003f0000c07f'
    """
    kinds = {value.__class__ for value in values}
    kinds.discard(None.__class__)
    if not kinds:
        return None
    if kinds <= {float, int}:
        return struct.pack(f"<{len(values)}f", *[math.nan if value is None else value for value in values])
    return _of_truth(values) if kinds == {bool} else levels_of(values)


def _of_truth(values: Sequence[FeatureValue | None]) -> Levels:
    """What :func:`levels_of` makes of truth values, which most columns hold."""
    first = next(value for value in values if value is not None)
    codes = bytes([0 if value is None else 1 if value is first else 2 for value in values])
    return Levels((first, not first) if 2 in codes else (first,), codes)


def levels_of(values: Sequence[FeatureValue | None]) -> Levels:
    r"""The same, for values of any kind.

    >>> levels_of(["ok", "ok", "failed"]).codes
    b'\x01\x01\x02'
    """
    places: dict[tuple[type, FeatureValue], int] = {}  # by type too: True and 1.0 are not the same feature
    codes = [
        0 if value is None else places.setdefault((value.__class__, value), len(places) + 1)
        for value in values
    ]
    levels = tuple([value for _, value in places])
    if len(levels) <= _ONE_BYTE:
        return Levels(levels, bytes(codes))
    return Levels(levels, struct.pack(f"<{len(codes)}H", *codes))


def codes_of(column: Levels, n_arms: int) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The codes of a column for ``n_arms`` arms, as an array.

    Raises:
        BadEvent: they are not as many, or one of them points beyond the levels.
    """
    wide = len(column.levels) > _ONE_BYTE
    width = 2 if wide else 1
    if len(column.codes) != width * n_arms:
        raise BadEvent(f"a column of {len(column.codes)} bytes for {n_arms} arms: legal is {width} each")
    codes = np.frombuffer(column.codes, "<u2" if wide else "u1")
    if n_arms and int(codes.max()) > len(column.levels):
        raise BadEvent(f"a column's code is {codes.max()}: legal are 0 to {len(column.levels)}")
    return codes


def numbers_of(column: bytes, n_arms: int) -> npt.NDArray[np.float32]:
    """The numbers of a column for ``n_arms`` arms; NaN where there is none.

    Raises:
        BadEvent: they are not as many.
    """
    if len(column) != 4 * n_arms:
        raise BadEvent(f"a column of {len(column)} bytes for {n_arms} arms: legal is 4 each")
    return np.frombuffer(column, "<f4")


def values_of(column: Column, n_arms: int) -> list[FeatureValue | None]:
    """What a column was made of, numbers rounded to 32 bits.

    Raises:
        BadEvent: it is not for so many arms, or broken.

    >>> values_of(column_of(["red", None]), 2), values_of(column_of([0.5, None]), 2)
    (['red', None], [0.5, None])
    """
    if isinstance(column, Levels):
        values = (None, *column.levels)
        return [values[code] for code in codes_of(column, n_arms).tolist()]
    return [None if value != value else value for value in numbers_of(column, n_arms).tolist()]


def features_by_arm(columns: Mapping[str, Column], n_arms: int) -> list[Features]:
    """The features of each arm, in the order of the arms.

    Raises:
        BadEvent: a column is not for so many arms, or broken.
    """
    found: list[Features] = [{} for _ in range(n_arms)]
    for name in sorted(columns):
        for features, value in zip(found, values_of(columns[name], n_arms), strict=True):
            if value is not None:
                features[name] = value
    return found


def with_features(arms: Sequence[Arm], columns: Mapping[str, Column]) -> tuple[Arm, ...]:
    """The arms with a decision's fetched features over their own.

    Raises:
        BadEvent: a column is not for so many arms, or broken.
    """
    if not columns:
        return tuple(arms)
    fetched = features_by_arm(columns, len(arms))
    return tuple([Arm(arm.id, {**arm.features, **own}) for arm, own in zip(arms, fetched, strict=True)])
