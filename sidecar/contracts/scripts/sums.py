"""``sums.lua``: what arms earned, added up file by file, see ``arm_sums.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sidecar.contracts import keys
from sidecar.contracts.arm_sums import (
    DAY_MS,
    DAYS_KEPT,
    HOUR_MS,
    HOURS_KEPT,
    MOST_FIELDS,
    OTHERS,
    encode_sums,
)
from sidecar.contracts.scripts.call import Call, pack

Numbers = Mapping[str, Sequence[float]]
"""Field to its sums."""


def sums_call(
    app: str, partition: int, position: str, day: tuple[int, Numbers], hours: Mapping[int, Numbers]
) -> Call:
    """Add what one file holds, unless that was done.

    Args:
        app: the application.
        partition: of the file's rows.
        position: of the last of them.
        day: its number since 1970, and all of the file.
        hours: the same by the number of the hour.
    """
    where, args = [keys.arm_sums_counted(app)], [str(partition), position, str(MOST_FIELDS), OTHERS]
    number, numbers = day
    parts = [(keys.arm_sums_of_day(app, number), DAYS_KEPT * DAY_MS, numbers)]
    parts += [(keys.arm_sums_of_hour(app, hour), HOURS_KEPT * HOUR_MS, some) for hour, some in hours.items()]
    packed: list[str | bytes | int] = list(args)
    for key, kept_ms, some in parts:
        where.append(key)
        packed += [kept_ms, pack([(field, encode_sums(sums)) for field, sums in some.items()])]
    return Call("sums", tuple(where), tuple(packed))
