"""The end of the sidecar: at the first signal, also at one that came while it started."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import uvicorn


class StoppingServer(uvicorn.Server):
    """Serves until SIGTERM or SIGINT; ``stopped``: those that came before this server listened to them."""

    def __init__(self, config: uvicorn.Config, stopped: Sequence[int]) -> None:
        super().__init__(config)
        self._stopped = stopped

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called once signals are listened to."""
        self.should_exit = self.should_exit or bool(self._stopped)
        if not self.should_exit:
            await super().startup(sockets)
