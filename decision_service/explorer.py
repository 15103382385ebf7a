"""How decisions explore just now: as the store says, else as ``app.toml`` does. Changed while we serve."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import redis

from sidecar.contracts.application import Exploration, Features
from sidecar.contracts.complaint import Complaint
from sidecar.contracts.errors import BadSegment
from sidecar.contracts.exploring import NOTHING_CHANGED, Exploring, Found, SegmentRule, found_for
from sidecar.contracts.exploring_store import read_exploring_async
from sidecar.contracts.store import AsyncScripts

log = logging.getLogger("sidearm.decision_service")


class Explorer:
    """Holds what the store says; ``refresh`` looks again.

    Args:
        scripts: on the store.
        app: the application's name.
        otherwise: how it explores while nobody has changed anything.
        rules: which its segments may name.
    """

    def __init__(
        self, scripts: AsyncScripts, app: str, otherwise: Exploration, rules: Mapping[str, SegmentRule]
    ) -> None:
        self._scripts = scripts
        self._app = app
        self._otherwise = otherwise
        self._rules = rules
        self._unread, self._unknown = Complaint(log), Complaint(log)
        self.current = NOTHING_CHANGED
        self._outside = Found("", otherwise)

    def found(self, context: Features, unit_id: str) -> Found:
        """Segment and exploration of a decision, by its context as scored and its unit."""
        if not self.current.segments:
            return self._outside
        return found_for(self.current, context, unit_id, self._rules, self._otherwise)

    @property
    def everywhere(self) -> Exploration:
        """How decisions explore that are in no segment."""
        return self._outside.exploration

    async def refresh(self) -> None:
        """Look once. What cannot be read changes nothing.

        Raises:
            StoreError: the store failed.
        """
        try:
            fresh = await read_exploring_async(self._scripts, self._app)
        except (BadSegment, redis.ResponseError) as error:  # something else lies there
            self._unread.say(f"how to explore cannot be read: {error}; what is in memory stays")
            return
        self._unread.over()
        if fresh != self.current:
            self._follow(fresh)

    def _follow(self, fresh: Exploring) -> None:
        self.current = fresh
        everywhere = self._otherwise if fresh.everywhere is None else fresh.everywhere.as_logged()
        self._outside = Found("", everywhere)
        unknown = [s.rule for s in fresh.segments if s.rule and s.rule not in self._rules]
        self._unknown.over()
        log.info("exploration, revision %s: %s", fresh.revision, everywhere)
        if unknown:
            self._unknown.say(f"segments name rules that this application has not: {', '.join(unknown)}")
