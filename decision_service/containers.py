"""The way to every model container: a socket and a breaker each, made when a model first lives there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from decision_service.breaker import Guard
from decision_service.mailbox import versions_of
from decision_service.scoring import Scorer
from decision_service.settings import ServiceSettings
from decision_service.sidecar_client import SidecarClient
from sidecar.contracts.application import Exploration
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.ending import end
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.roster import Roster
from sidecar.contracts.wire import ScoreRow


class Containers:
    """Scorers of one application by container; belongs to one event loop.

    Args:
        app: the application's name.
        settings: how long an answer may take, how many decisions share a call.
        data: where the sockets are.
        exploration: of every row, for the sidecar's own probabilities.
        catalogue: gives the catalogue of this moment.
        roster: gives the models of this moment.
        tell: is told when a breaker opens or closes.
    """

    def __init__(
        self,
        app: str,
        settings: ServiceSettings,
        data: DataFolder,
        exploration: Exploration,
        catalogue: Callable[[], Catalogue],
        roster: Callable[[], Roster],
        tell: Callable[[str, float], None],
    ) -> None:
        self._app, self._settings, self._data = app, settings, data
        self._exploration, self._catalogue, self._roster = exploration, catalogue, roster
        self._tell = tell
        self._clients: dict[str, SidecarClient] = {}
        self._probing: list[asyncio.Task[None]] = []
        self._scorers: dict[str, Scorer] = {}

    def scorer(self, container: str) -> Scorer:
        """Of a container; "" is the sidecar."""
        if container not in self._scorers:
            self._scorers[container] = self._made(container)
        return self._scorers[container]

    def trained_until_ms(self) -> int:
        """When the last example was made that the sidecar's weights know; 0: it has not said."""
        client = self._clients.get("")
        return client.trained_until_ms if client is not None else 0

    async def close(self) -> None:
        """Drop all connections."""
        await end(*self._probing)
        for client in self._clients.values():
            await client.close()

    def _made(self, container: str) -> Scorer:
        settings = self._settings
        own = settings.sidecar_socket if not container else ""
        socket = Path(own or self._data.sidecar_socket(self._app, container))
        client = SidecarClient(socket, settings.score_timeout_ms / 1000)
        self._clients[container] = client
        return Scorer(
            client,
            self._exploration,
            timeout_s=settings.score_timeout_ms / 1000,
            max_batch=settings.score_batch,
            connections=settings.sidecar_connections,
            guard=self._guard(container, client),
            calibrated=settings.calibrated,
            versions=lambda: versions_of(self._roster(), container),
        )

    def _guard(self, container: str, client: SidecarClient) -> Guard:
        """It must score."""
        row = ScoreRow({}, None, ())

        async def scores() -> None:
            await client.score([row], (Exploration(),), self._catalogue())

        loop = asyncio.get_running_loop()
        guard = Guard(f"sidecar {container}".rstrip(), scores, loop.time, self._tell)
        self._probing.append(loop.create_task(guard.keep_probing()))
        return guard
