"""``roster.lua``: replace the roster of models in one step, unless somebody else did meanwhile."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from sidecar.contracts import keys
from sidecar.contracts.roster import Roster, encode_models, versions_in
from sidecar.contracts.scripts.call import Call, text


class RosterStatus(StrEnum):
    """What became of a change."""

    OK = "OK"
    STALE = "STALE"
    """The roster is not the one that was changed any more: look again."""
    UNKNOWN = "UNKNOWN"
    """A version is neither kept nor deployed: it cannot be served."""
    FENCED = "FENCED"
    """A later learner took over: exit."""


class Changed(NamedTuple):
    """The answer."""

    status: RosterStatus
    revision: int = 0
    """Of the new roster, where there is one."""


def roster_call(
    app: str, roster: Roster, what: str, *, epoch: int | None = None, evidence: bytes = b""
) -> Call:
    """Put ``roster`` in place of the one whose revision it still carries.

    Args:
        app: the application.
        roster: a roster that was checked.
        what: the change, for people.
        epoch: the learner's, when it is the learner that changes it.
        evidence: JSON: what argued for the change; kept in the notice.
    """
    where = (
        keys.roster(app),
        keys.deployed(app),
        keys.model_records(app),
        keys.model_notices(app),
        keys.weights(app),
        keys.app_skew(app),
        keys.epoch(app),
    )
    fence = "" if epoch is None else str(epoch)
    versions = [str(version) for version in versions_in(roster)]
    return Call(
        "roster", where, (str(roster.revision), encode_models(roster), fence, what, evidence, *versions)
    )


def parse_roster(reply: bytes | str) -> Changed:
    """The answer to :func:`roster_call`."""
    said = text(reply)
    return Changed(RosterStatus.OK, int(said)) if said.isdigit() else Changed(RosterStatus(said))
