"""``sums.lua``: what arms earned, added up file by file, see ``arm_sums.py``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sidecar.contracts import keys
from sidecar.contracts.arm_sums import OTHERS, Grain, encode_sums
from sidecar.contracts.scripts.call import Call, pack

Numbers = Mapping[str, Sequence[float]]
"""Field to its sums."""


class Part(NamedTuple):
    """What a file adds to one part of time."""

    grain: Grain
    number: int
    """Of the part, since 1970."""
    numbers: Numbers


def sums_call(app: str, partition: int, position: str, parts: Iterable[Part]) -> Call:
    """Add what one file holds, unless that was done.

    Args:
        app: the application.
        partition: of the file's rows.
        position: of the last of them.
        parts: of time.
    """
    where, args = [keys.arm_sums_counted(app)], [str(partition), position, OTHERS]
    packed: list[str | bytes | int] = list(args)
    for grain, number, numbers in parts:
        where.append(keys.arm_sums(app, grain.letter, number))
        entries = pack([(field, encode_sums(sums)) for field, sums in numbers.items()])
        packed += [grain.kept * grain.ms, grain.most, entries]
    return Call("sums", tuple(where), tuple(packed))
