"""What the policy earned beside what drawing evenly would have: sums for each minute, ten minutes and day.

Kept by whoever writes the log, as :mod:`arm_sums`, of decisions that a model's scores decided. What drawing
evenly earns is known from the same decisions, by their probabilities: the control share sees to it that every
arm has one.

Evolution: sums are only ever appended, each missing one is 0.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from msgspec import Struct

MINUTE_MS = 60_000
SLOT_MS = 10 * MINUTE_MS
MINUTES_KEPT_MS = 3 * 3_600_000
DAYS_KEPT_MS = 3 * 86_400_000
BETS = "bets"
"""Field of a day's evidence; the others are numbers of minutes, or of ten minutes, since 1970."""


class Earned(Struct, frozen=True):
    """Of some decisions."""

    decisions: float = 0.0
    reward: float = 0.0
    """Sum of what they earned."""
    compared: float = 0.0
    """How many of them were compared: all, but where arms are very many."""
    gain: float = 0.0
    """Sum of what they earned more than drawing evenly would have, by their probabilities."""


class Bets(Struct, frozen=True):
    """Evidence of a day, as ``sidecar.policy.evidence.Sums`` has it: in units of the rewards' span."""

    count: float = 0.0
    gain: tuple[float, ...] = ()
    """Of outcomes, policy less drawing evenly: totals, then squares, one for each reach."""
    loss: tuple[float, ...] = ()
    """The other way round."""
    width: float = 1.0
    """Of the rewards' span."""


def encode_bets(count: float, gain: tuple[float, ...], loss: tuple[float, ...], width: float) -> list[float]:
    """As sums: ``count * width`` is one, since only sums add up."""
    return [count, count * width, *gain, *loss]


def decode_bets(stored: bytes | None) -> Bets:
    """What was added up; nothing where there is nothing, or something else."""
    numbers = numbers_in(stored or b"")
    if len(numbers) < 6 or numbers[0] <= 0.0:
        return Bets()
    half = (len(numbers) - 2) // 2
    return Bets(numbers[0], numbers[2 : 2 + half], numbers[2 + half : 2 + 2 * half], numbers[1] / numbers[0])


def decode_earned(stored: Mapping[bytes, bytes]) -> dict[int, Earned]:
    """Number of the minute, or of the ten minutes, to what was earned then. Others are left out."""
    found = {}
    for field, value in stored.items():
        if field.isdigit():
            found[int(field)] = Earned(*numbers_in(value)[: len(Earned.__struct_fields__)])
    return found


def numbers_in(stored: bytes) -> tuple[float, ...]:
    """Doubles, least byte first."""
    return struct.unpack_from(f"<{len(stored) // 8}d", stored)
