"""The models of this moment, as the store says. What cannot be read changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable

import redis

from sidecar.contracts.complaint import Complaint
from sidecar.contracts.errors import BadModel
from sidecar.contracts.roster import FIRST_ROSTER, Roster
from sidecar.contracts.rostering import read_roster_async
from sidecar.contracts.store import AsyncClient

log = logging.getLogger("sidearm.decision_service")


class RosterWatch:
    """Holds the roster of one application; ``refresh`` looks again.

    Args:
        client: of the store.
        app: the application's name.
        tell: is told the revision that is followed from now on.
    """

    def __init__(self, client: AsyncClient, app: str, tell: Callable[[int], None]) -> None:
        self._client = client
        self._app = app
        self._tell = tell
        self._complaint = Complaint(log)
        self.current: Roster = FIRST_ROSTER

    async def refresh(self) -> None:
        """Look once.

        Raises:
            StoreError: the store failed.
        """
        try:
            fresh = await read_roster_async(self._client, self._app)
        except (BadModel, redis.ResponseError) as error:  # something else lies there
            self._complaint.say(f"the roster of models cannot be read: {error}; the one in memory stays")
            return
        self._complaint.over()
        if fresh != self.current:
            self.current = fresh
            self._tell(fresh.revision)
            models = ", ".join(f"{one.name} ({one.role})" for one in fresh.models)
            log.info("models, revision %s: %s", fresh.revision, models)
