"""How the application explores, looked at and replaced through the API."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from decision_service.errors import BadRequest, FieldError, Outdated, StoreAway
from decision_service.event_log import patiently
from decision_service.explorer import Explorer
from sidecar.contracts.application import Application, ExplorationConfig
from sidecar.contracts.errors import BadSegment
from sidecar.contracts.exploring import MOST_SEGMENTS, Exploring, Segment
from sidecar.contracts.exploring_store import change_exploring_async, read_exploring_async
from sidecar.contracts.store import AsyncScripts


class ExplorationRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Replaces how the application explores, as a whole."""

    everywhere: ExplorationConfig | None = None
    """null: as its ``app.toml`` says."""
    segments: Annotated[list[Segment], Meta(max_length=MOST_SEGMENTS)] = []
    """In the order in which they are asked; the first that a decision is in is its segment."""
    revision: Annotated[int, Meta(ge=0)] | None = None
    """What this is a change of: refused with 409 if somebody else changed it since. Left out: whatever is
    there is replaced."""


class ExplorationView(Struct, frozen=True, kw_only=True):
    """How the application explores."""

    application: ExplorationConfig
    """As its ``app.toml`` says."""
    everywhere: ExplorationConfig | None
    """What holds instead; null: that."""
    segments: list[Segment]
    revision: int
    """Counts the changes; 0: nobody ever changed anything."""
    rules: list[str]
    """That a segment may name."""


class ExplorationDesk:
    """Looks and changes; belongs to one event loop."""

    def __init__(self, scripts: AsyncScripts, application: Application, explorer: Explorer) -> None:
        self._scripts = scripts
        self._application = application
        self._explorer = explorer

    async def look(self) -> ExplorationView:
        """As it is in the store, whether or not every replica has heard of it.

        Raises:
            StoreAway: the store did not answer, or what lies there is foreign.
        """
        app = self._application.name
        try:
            return self._view(await patiently(lambda: read_exploring_async(self._scripts, app)))
        except BadSegment as error:
            raise StoreAway(str(error)) from error

    async def replace(self, asked: ExplorationRequest) -> ExplorationView:
        """Put ``asked`` in place, for every replica.

        Raises:
            BadRequest: a segment stands twice, or names a rule that the application has not.
            Outdated: it is a change of what is not so any more.
            StoreAway: the store did not answer.
        """
        self._check_rules(asked)

        def change(now: Exploring) -> Exploring:
            wanted = Exploring(asked.everywhere, tuple(asked.segments), now.revision)
            if asked.revision not in (None, now.revision) and now != wanted:  # a retry finds what it did
                raise Outdated(f"revision {now.revision} is there now, not {asked.revision}: look again")
            return wanted

        app = self._application.name
        try:
            done = await patiently(lambda: change_exploring_async(self._scripts, app, change, "by the API"))
        except BadSegment as error:
            raise BadRequest(FieldError("/segments", str(error))) from error
        await patiently(self._explorer.refresh)
        return self._view(done)

    def _check_rules(self, asked: ExplorationRequest) -> None:
        known = self._application.rules.segments
        for place, segment in enumerate(asked.segments):
            if segment.rule and segment.rule not in known:
                legal = ", ".join(known) or "none: [rules] in app.toml names no segments"
                at = f"/segments/{place}/rule"
                raise BadRequest(FieldError(at, f"{segment.rule!r} is no rule of segments; legal: {legal}"))

    def _view(self, exploring: Exploring) -> ExplorationView:
        return ExplorationView(
            application=self._application.exploration,
            everywhere=exploring.everywhere,
            segments=list(exploring.segments),
            revision=exploring.revision,
            rules=list(self._application.rules.segments),
        )
