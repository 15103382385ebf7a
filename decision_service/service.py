"""The service: all that endpoints use. ``opening.py`` puts it together."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from decision_service.activation import Activator
from decision_service.admission import Admission
from decision_service.arms import Arms
from decision_service.asking import Asking
from decision_service.auth import Keyring
from decision_service.bookkeeping import keep_books
from decision_service.breaker import Guard
from decision_service.canaries import Canaries
from decision_service.catalogues import Catalogues
from decision_service.console.session import Sessions
from decision_service.decider import Decider
from decision_service.deciding import Deciding
from decision_service.decisions import Decisions
from decision_service.decoys import Decoys
from decision_service.draining import Drainer
from decision_service.explanations import Explanations
from decision_service.exploration_desk import ExplorationDesk
from decision_service.explorer import Explorer
from decision_service.live_arms import LiveArms
from decision_service.model_admin import ModelAdmin
from decision_service.model_desk import ModelDesk
from decision_service.node_watch import NodeWatch
from decision_service.overload_watch import OverloadWatch
from decision_service.reward import Rewarder
from decision_service.roster_watch import RosterWatch
from decision_service.settings import ServiceSettings
from decision_service.spool import Spool
from decision_service.telemetry import Telemetry
from sidecar.contracts.application import Application
from sidecar.contracts.crew_figures import Crew
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import AsyncScripts

_READY_WITHOUT_STORE_S = 5.0
"""At the start the store is waited for so long; without it the spool takes what is decided."""


class Service:
    """What the endpoints use; made by :func:`open_service`."""

    def __init__(
        self,
        application: Application,
        settings: ServiceSettings,
        scripts: AsyncScripts,
        catalogues: Catalogues,
        keyring: Keyring,
        sessions: Sessions,
        telemetry: Telemetry,
        spool: Spool,
        crew: Crew | None = None,
    ) -> None:
        self.application = application
        self._crew = crew
        self.settings = settings
        self.scripts = scripts
        self.catalogues = catalogues
        self.keyring = keyring
        self.sessions = sessions
        self.telemetry = telemetry
        self.spool = spool
        self.store_guard: Guard
        self.drainer: Drainer
        most = settings.max_in_flight
        self.admission = Admission(most, most // 8, time.monotonic, telemetry.admits)
        self.replica = f"{socket.gethostname()}:{os.getpid()}"
        """This service, among those of the application."""
        self.nodes: NodeWatch
        self.live_arms: LiveArms
        self.arms: Arms
        self.stopping = False
        """No new callers, please: readiness says so, and answers close their connections."""
        self._opened_s = time.monotonic()
        self.watch: OverloadWatch
        self.explorer: Explorer
        self.exploration: ExplorationDesk
        self.explanations: Explanations
        self.roster: RosterWatch
        self.decoys: Decoys
        self.canaries: Canaries
        self.models: ModelDesk
        self.model_admin: ModelAdmin
        self.decider: Decider
        self.deciding: Deciding
        self.asking: Asking
        self.rewarder: Rewarder
        self.activator: Activator
        self.decisions: Decisions
        self.evaluations: Path
        """Where finished evaluations lie, if they can be seen from here."""
        self.data: DataFolder
        self.folder: Path
        """Of the application."""

    @property
    def ready(self) -> bool:
        """Whether callers should be sent here: a store that is away is no reason not to."""
        waited_s = time.monotonic() - self._opened_s
        return not self.stopping and (self.live_arms.published or waited_s > _READY_WITHOUT_STORE_S)

    async def look_again(self) -> None:
        """At what the store says of exploration and models.

        Raises:
            StoreError: it did not answer.
        """
        await self.explorer.refresh()
        await self.roster.refresh()
        await self.canaries.refresh(self.roster.current)

    async def figures(self) -> bytes:
        """What this process counted, and how the store is."""
        app, telemetry = self.application, self.telemetry
        telemetry.weights_age(self.decider.staleness.age_s())
        telemetry.under_way(self.admission.under_way)
        telemetry.spool(len(self.spool), self.spool.bytes)
        await keep_books(telemetry, self.scripts, app.name, app.partitions, self.decider.now_ms)
        return telemetry.render()

    async def all_figures(self) -> bytes:
        """Those of every worker of this address."""
        own = await self.figures()
        return own if self._crew is None else await self._crew.with_others(own)
