"""Models deployed, changed, promoted and undeployed through the API; every replica follows at once."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from decision_service.errors import BadRequest, FieldError, NotFound, Outdated
from decision_service.event_log import patiently
from decision_service.model_desk import ModelDesk, ModelsView
from decision_service.roster_watch import RosterWatch
from sidecar.contracts.application import ExplorationConfig
from sidecar.contracts.errors import BadModel
from sidecar.contracts.models import version_of
from sidecar.contracts.ranges import Share
from sidecar.contracts.roster import LIVE, ContainerName, Model, Role, Roster
from sidecar.contracts.roster_changes import promoted, with_model, without_model
from sidecar.contracts.rostering import Change, change_roster_async
from sidecar.contracts.store import AsyncScripts

Wait = Annotated[int, Meta(ge=0, le=60_000)]
Priority = Annotated[int, Meta(ge=-1000, le=1000)]
Version = Annotated[str, Meta(pattern=r"^(live|i?[1-9][0-9]{0,14})$")]


class ModelRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Deploys a model, or puts another in its place."""

    role: Role
    version: Version = "live"
    """``live``: whatever the learner publishes last; or a version that is kept: 1234, i1."""
    share: Share = 0.0
    """Of the traffic that a challenger answers; of a decoy, that whose inputs are archived."""
    priority: Priority = 0
    """Among challengers: the highest that answered stands in for a champion that did not."""
    wait_ms: Wait | None = None
    """How long a decision waits for it. null: as long as its deadline allows; for who cannot answer, not at
    all."""
    exploration: ExplorationConfig | None = None
    """null: as the decision's."""
    container: ContainerName = ""
    """Which model container scores with it; empty: the sidecar."""
    revision: Annotated[int, Meta(ge=0)] | None = None
    """What this is a change of: refused with 409 if somebody else changed the models since."""


class ModelChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes some of a model. What is left out stays."""

    share: Share | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    wait_ms: Wait | UnsetType | None = UNSET


class ModelAdmin:
    """Changes the roster; belongs to one event loop.

    Args:
        scripts: on the store.
        app: the application's name.
        desk: shows the models after a change.
        watch: this replica's own view, which need not wait for the notice.
    """

    def __init__(self, scripts: AsyncScripts, app: str, desk: ModelDesk, watch: RosterWatch) -> None:
        self._scripts, self._app = scripts, app
        self._desk, self._watch = desk, watch

    async def deploy(self, name: str, asked: ModelRequest) -> ModelsView:
        """Put a model on the roster, or another under its name.

        Raises:
            BadRequest: there can be no such model.
            Outdated: the models are not those that this is a change of.
            StoreAway: the store did not answer.
        """
        model = _model(name, asked)

        def change(roster: Roster) -> Roster:
            if asked.revision is not None and asked.revision != roster.revision:
                raise Outdated(f"revision {roster.revision} is there now, not {asked.revision}: look again")
            return with_model(roster, model)

        return await self._change(change, f"deploy {name} as {asked.role}")

    async def alter(self, name: str, asked: ModelChange) -> ModelsView:
        """Change its share, its priority or its wait.

        Raises:
            BadRequest, NotFound, StoreAway: as it says.
        """
        changed = {field: value for field, value in _given(asked).items() if value is not UNSET}
        if not changed:
            raise BadRequest(FieldError("", f"nothing to change: legal are {', '.join(_given(asked))}"))

        def change(roster: Roster) -> Roster:
            return with_model(roster, msgspec.structs.replace(_known(roster, name), **changed))

        return await self._change(change, f"change {name}: {changed}")

    async def promote(self, name: str) -> ModelsView:
        """Make it the champion; the one before stays as a challenger without a share.

        Raises:
            BadRequest, NotFound, StoreAway: as it says.
        """
        return await self._change(
            lambda roster: promoted(roster, _known(roster, name).name), f"promote {name} by hand"
        )

    async def undeploy(self, name: str) -> ModelsView:
        """Take it off the roster.

        Raises:
            BadRequest: it is the champion.
            NotFound, StoreAway: as it says.
        """
        return await self._change(
            lambda roster: without_model(roster, _known(roster, name).name), f"undeploy {name}"
        )

    async def _change(self, change: Change, what: str) -> ModelsView:
        try:
            await patiently(lambda: change_roster_async(self._scripts, self._app, change, what))
        except BadModel as error:
            raise BadRequest(FieldError("", str(error))) from error
        await patiently(self._watch.refresh)
        return await self._desk.look()


def _known(roster: Roster, name: str) -> Model:
    try:
        return roster.named(name)
    except BadModel as error:
        raise NotFound(str(error)) from error


def _given(asked: ModelChange) -> dict[str, object]:
    return {field: getattr(asked, field) for field in asked.__struct_fields__}


def _model(name: str, asked: ModelRequest) -> Model:
    return Model(
        name=name,
        role=asked.role,
        version=LIVE if asked.version == "live" else version_of(asked.version),
        share=asked.share,
        priority=asked.priority,
        wait_ms=asked.wait_ms,
        exploration=None if asked.exploration is None else asked.exploration.as_logged(),
        container=asked.container,
    )
