"""Reading the roster of models, and changing it: look, work it out, put it in place, or look again."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from sidecar.contracts import keys
from sidecar.contracts.errors import BadModel
from sidecar.contracts.models import name_of
from sidecar.contracts.roster import Roster, versions_in
from sidecar.contracts.roster_check import checked_roster, decode_roster
from sidecar.contracts.scripts.roster import Changed, RosterStatus, parse_roster, roster_call
from sidecar.contracts.store import AsyncClient, AsyncScripts, Client, Scripts

_TRIES = 20
"""Somebody else would have to be faster each time."""

Change = Callable[[Roster], Roster]
"""A roster to another one; raises BadModel where that cannot be."""


def read_roster(client: Client, app: str) -> Roster:
    """The roster as it is.

    Raises:
        BadModel: what lies there is none.
        StoreError: the store is away.
    """
    return decode_roster(cast("dict[bytes, bytes]", client.hgetall(keys.roster(app))))


def change_roster(
    scripts: Scripts,
    app: str,
    change: Change,
    what: str,
    *,
    epoch: int | None = None,
    evidence: bytes = b"",
) -> Roster:
    """Change the roster in one step, and give the new one; every sidecar and every service is told.

    Args:
        scripts: on the store.
        app: the application.
        change: from what is there to what shall be; called again when somebody else was faster.
        what: the change, for people.
        epoch: the learner's, when it is the learner that changes it.
        evidence: JSON: what argued for it.

    Raises:
        BadModel: there is no such change, a version is not kept, or a later learner took over.
        StoreError: the store is away.
    """
    for _ in range(_TRIES):
        wanted = checked_roster(change(read_roster(scripts.client, app)))
        call = roster_call(app, wanted, what, epoch=epoch, evidence=evidence)
        changed = parse_roster(scripts.run(call))
        if changed.status is not RosterStatus.STALE:
            return _settled(wanted, changed)
    raise BadModel("the models were changed again and again by somebody else meanwhile: try again")


async def change_roster_async(scripts: AsyncScripts, app: str, change: Change, what: str) -> Roster:
    """The same on an event loop.

    Raises:
        BadModel, StoreError: as :func:`change_roster`.
    """
    for _ in range(_TRIES):
        wanted = checked_roster(change(await read_roster_async(scripts.client, app)))
        changed = parse_roster(await scripts.run(roster_call(app, wanted, what)))
        if changed.status is not RosterStatus.STALE:
            return _settled(wanted, changed)
    raise BadModel("the models were changed again and again by somebody else meanwhile: try again")


async def read_roster_async(client: AsyncClient, app: str) -> Roster:
    """The roster as it is.

    Raises:
        BadModel, StoreError: as :func:`read_roster`.
    """
    return decode_roster(cast("dict[bytes, bytes]", await client.hgetall(keys.roster(app))))


def _settled(wanted: Roster, changed: Changed) -> Roster:
    match changed.status:
        case RosterStatus.OK:
            return Roster(wanted.models, changed.revision)
        case RosterStatus.UNKNOWN:
            versions = ", ".join(name_of(version) for version in versions_in(wanted))
            raise BadModel(
                f"not all of these versions are kept: {versions}; `sidearm models list` shows which"
            )
        case _:
            raise BadModel("a later learner took over: it is the one that changes the models now")
