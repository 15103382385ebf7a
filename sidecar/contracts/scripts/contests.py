"""``contests.lua``: what the learner knows of every model, in one fenced write."""

from __future__ import annotations

from enum import StrEnum

from sidecar.contracts import keys
from sidecar.contracts.scripts.call import Call, text


class ContestsStatus(StrEnum):
    """What became of it."""

    OK = "OK"
    FENCED = "FENCED"
    """A later learner took over: exit."""


def contests_call(app: str, epoch: int, state: bytes, shown: bytes) -> Call:
    """Write them down.

    Args:
        app: the application.
        epoch: the learner's.
        state: what it goes on from after a restart.
        shown: JSON, ``contests.Shown``.
    """
    where = (keys.contests(app), keys.epoch(app), keys.weights(app), keys.app_skew(app))
    return Call("contests", where, (epoch, state, shown))


def parse_contests(reply: bytes | str) -> ContestsStatus:
    """The answer."""
    return ContestsStatus(text(reply))
