"""Up to where the learner has been: so far may the archive go, since only there is it known what was refused.

An archiver in a process of its own is told through the store. What it is told was true when it was written,
and positions only grow: whoever reads an old word archives a little later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec
import redis

from policy_learner.join.positions import START, order
from sidecar.contracts import keys
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.scripts.call import script_text

Place = tuple[int, str]
"""Partition and position of an example."""


class Learnt(NamedTuple):
    """How far a learner is."""

    positions: Sequence[str]
    """Read and, where it teaches anything, trained on; one for each partition."""
    version: int
    """Last one that stands: all that it was trained on lies within ``positions``."""
    more: bool = False
    """It is behind: more will follow at once."""


class Told(NamedTuple):
    """What the learner tells an archiver."""

    learnt: Learnt
    refused: frozenset[Place]
    """Refused, and not with the dead letters yet, where all others are."""


def tell(client: redis.Redis, app: str, learnt: Learnt, refused: Sequence[Place]) -> None:
    """Say how far the learner is, at the store's memory limit too: the archiver makes room."""
    fields = (
        "positions",
        msgspec.json.encode(learnt.positions),
        "version",
        learnt.version,
        "more",
        int(learnt.more),
    )
    script = client.register_script(script_text("status"))
    script(keys=[keys.learnt(app)], args=[*fields, "refused", msgspec.json.encode(refused)])


def told(client: redis.Redis, app: str, partitions: int) -> Told:
    """What was said last; of a partition that nobody spoke of, that nothing was learnt.

    Raises:
        BadEvent: something else is stored there.
    """
    stored = client.hmget(keys.learnt(app), ["positions", "version", "refused", "more"])
    positions, version, refused, more = cast("list[bytes | None]", stored)
    if positions is None or version is None:
        return Told(Learnt([START] * partitions, 0), frozenset())
    try:
        read = msgspec.json.decode(positions, type=list[str])
        places = msgspec.json.decode(refused or b"[]", type=list[Place])
        positions_of_all = [*read, *[START] * (partitions - len(read))][:partitions]
        learnt = Learnt(positions_of_all, int(version), more == b"1")
        all(map(order, learnt.positions))
        return Told(learnt, frozenset(places))
    except ValueError as error:  # msgspec's own among them
        raise BadEvent(f"what the learner told the archiver is no such word: {error}") from error
