"""The end of the service: callers are sent elsewhere before the door closes, so that none of them meets it.

At SIGTERM readiness says no, and every answer closes its connection; requests are served as before for the
time that a load balancer needs to notice. Then nobody is let in any more, what is under way ends, and the
spool is emptied if the store is there.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from types import FrameType

import uvicorn

from decision_service.service import Service


class LeavingServer(uvicorn.Server):
    """Serves until SIGTERM, and for ``linger_s`` after it. SIGINT, or a second signal, is obeyed at once.

    Args:
        config: of uvicorn.
        service: what is served.
        linger_s: how long after SIGTERM.
        stopped: signals that came before this server listened to them.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, linger_s: float, stopped: Sequence[int]
    ) -> None:
        super().__init__(config)
        self._service = service
        self._linger_s = linger_s
        self._stopped = stopped
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called once signals are listened to."""
        self.should_exit = self.should_exit or bool(self._stopped)
        if not self.should_exit:
            await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal's handler, between any two instructions."""
        lingers = sig == signal.SIGTERM and self._linger_s > 0 and not self._service.stopping
        self._service.stopping = True
        if lingers:
            self._loop.call_soon_threadsafe(self._leave_later, sig)
        else:
            super().handle_exit(sig, frame)

    def _leave_later(self, sig: int) -> None:
        self._loop.call_later(self._linger_s, super().handle_exit, sig, None)
