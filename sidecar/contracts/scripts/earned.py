"""``sums.lua`` for what the policy earned beside drawing evenly, see the contract ``earned.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sidecar.contracts import keys
from sidecar.contracts.arm_sums import encode_sums
from sidecar.contracts.earned import DAYS_KEPT_MS, MINUTES_KEPT_MS
from sidecar.contracts.scripts.call import Call, pack

_MOST = 1_000
"""Fields of a hash: a day has 145 of its own, an hour 60."""
_OTHERS = "others"

Numbers = Mapping[str, Sequence[float]]
"""Field to what is added."""


def earned_call(
    app: str, partition: int, position: str, day: tuple[int, Numbers], hours: Mapping[int, Numbers]
) -> Call:
    """Add what one file holds, unless that was done.

    Args:
        app: the application.
        partition: of the file's rows.
        position: of the last of them.
        day: its number since 1970, and its sums by ten minutes, with its evidence.
        hours: the same by minute, for each of its hours.
    """
    number, numbers = day
    parts = [(keys.earned_of_day(app, number), DAYS_KEPT_MS, numbers)]
    parts += [(keys.earned_of_hour(app, hour), MINUTES_KEPT_MS, some) for hour, some in hours.items()]
    where = (keys.earned_counted(app), *[key for key, _, _ in parts])
    packed: list[str | bytes | int] = [str(partition), position, _OTHERS]
    for _, kept_ms, some in parts:
        packed += [kept_ms, _MOST, pack([(field, encode_sums(sums)) for field, sums in some.items()])]
    return Call("sums", where, tuple(packed))
