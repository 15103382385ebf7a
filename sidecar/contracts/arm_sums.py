"""What arms earned, in sums that add up: by arm and segment, for the last minutes, hours and days.

Kept by whoever writes the log, one addition for each file; a page reads a few hashes and scans nothing. A
decision counts when its horizon has ended, so that no part but the last ever changes.

Evolution: sums are only ever appended, each missing one is 0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct


class Grain(Struct, frozen=True):
    """How time is divided."""

    letter: str
    """In keys."""
    ms: int
    """Of a part."""
    kept: int
    """Parts."""
    most: int
    """Arms and segments of a part: a hundred bytes each. Whoever comes later is among the others."""
    of_a_file: int
    """Of these, the busiest that one file adds: the store does nothing else for 5 µs each."""


FIVES = Grain("m", 300_000, 40, 200, 64)
HOURS = Grain("h", 3_600_000, 48, 1_000, 256)
DAYS = Grain("d", 86_400_000, 35, 1_000, 256)
GRAINS = (FIVES, HOURS, DAYS)
OTHERS = "[]"
"""The field of those."""


class ArmSums(Struct, frozen=True):
    """Over decisions. s = 1 / inclusion probability; w = s / propensity, 0 for what no chance decided."""

    decisions: float = 0.0
    """Times that it was shown."""
    rewarded: float = 0.0
    """Of these, how many had a reward of their own: the others have the default."""
    s: float = 0.0
    sr: float = 0.0
    ss: float = 0.0
    ssr: float = 0.0
    ssrr: float = 0.0
    w: float = 0.0
    wr: float = 0.0
    ww: float = 0.0
    wwr: float = 0.0
    wwrr: float = 0.0


NAMES = ArmSums.__struct_fields__


class Shown(Struct, frozen=True):
    """Whom sums are of; None: of arms that came when the hash was full."""

    arm: str | None
    segment: str = ""
    """Of the traffic; empty: none."""


def total(some: Iterable[ArmSums]) -> ArmSums:
    """All of them together."""
    columns = zip(*[msgspec.structs.astuple(one) for one in some], strict=True)
    return ArmSums(*[sum(column) for column in columns])


def field_of(arm: str, segment: str) -> str:
    """Under what they stand in the hash.

    >>> field_of("sku-1", "")
    '["sku-1",""]'
    """
    return msgspec.json.encode((arm, segment)).decode()


def encode_sums(sums: Sequence[float]) -> bytes:
    """As they are stored: doubles in the order of :data:`NAMES`, least byte first.

    Text takes Lua ten times as long to add.
    """
    return struct.pack(f"<{len(sums)}d", *sums)


def decode_sums(stored: Mapping[bytes, bytes]) -> dict[Shown, ArmSums]:
    """An hour or a day as the store has it. What is none of ours is left out: it is for people."""
    found = {}
    for field, value in stored.items():
        try:
            found[_shown(field)] = ArmSums(*_numbers(value)[: len(NAMES)])
        except (ValueError, struct.error):  # msgspec's errors are ValueErrors
            continue
    return found


def _numbers(stored: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(stored) // 8}d", stored)


def _shown(field: bytes) -> Shown:
    if field == OTHERS.encode():
        return Shown(None)
    arm, segment = msgspec.json.decode(field, type=tuple[str, str])
    return Shown(arm, segment)
