"""Start the decision service: ``python -m decision_service --app examples/shop --data data``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvicorn
import uvloop

from decision_service.app import make_app
from decision_service.connection import Connection
from decision_service.draw_secret import draw_secret
from decision_service.large_pages import lay_together
from decision_service.leaving import LeavingServer
from decision_service.opening import open_service
from decision_service.settings import ServiceSettings
from sidecar.contracts.application import Application, load_application
from sidecar.contracts.crew import run_crew
from sidecar.contracts.crew_figures import Crew, crew_of
from sidecar.contracts.errors import BadSettings, ContractError
from sidecar.contracts.garbage import search_less
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.process_log import last_word, log_as
from sidecar.contracts.settings import load_settings
from sidecar.contracts.signals import note_signals
from sidecar.contracts.store_address import Stores, stores_of

BAD_SETTINGS = 2
_BACKLOG = 2048
_KEEP_ALIVE_S = 75  # longer than the idle time of common load balancers, so that they hang up first

log = logging.getLogger("sidearm.decision_service")


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Serve until SIGTERM or SIGINT; 0 after an orderly stop, 2 when it cannot start as configured."""
    parser = argparse.ArgumentParser(prog="python -m decision_service", description=__doc__)
    parser.add_argument("--app", default=environ.get("SIDEARM_APP"), help="folder that holds app.toml")
    parser.add_argument("--data", default=environ.get("SIDEARM_DATA", "data"), help="data folder")
    parser.add_argument("--workers", type=int, choices=range(1, 65), metavar="1…64", help="processes")
    arguments = parser.parse_args(argv)
    try:
        log_as(environ)
        if not arguments.app:
            raise BadSettings("name the application's folder: --app FOLDER or SIDEARM_APP")
        folder, data = Path(arguments.app), DataFolder(Path(arguments.data))
        application = load_application(folder)
        settings = load_settings(ServiceSettings, "decision_service", application.decision_service, environ)
        stores = stores_of(environ, data)
        count, noted = arguments.workers or settings.workers, note_signals()

        def work(place: int) -> int:
            stopped = note_signals() if count > 1 else noted
            crew = crew_of(data.run, application.name, place, count)
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(_serve(folder, application, settings, data, stores, listening, stopped, crew))
            except (ContractError, OSError) as error:
                return _say(error)
            return 0

        draw_secret(settings, data)  # made by the first of all, or each worker would make its own
        with _bind(settings) as listening:
            return run_crew(count, listening, work)
    except (ContractError, OSError) as error:
        return _say(error)


def _say(error: Exception) -> int:
    last_word("decision_service", error)
    return BAD_SETTINGS


async def _serve(
    folder: Path,
    application: Application,
    settings: ServiceSettings,
    data: DataFolder,
    stores: Stores,
    listening: socket.socket,
    stopped: Sequence[int],
    crew: Crew | None,
) -> None:
    async with open_service(folder, application, settings, data, stores, crew) as service:
        config = uvicorn.Config(
            make_app(service),
            http=Connection,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            access_log=False,
            server_header=False,
            log_config=None,
            log_level="warning",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=settings.drain_s,
        )
        host, port = listening.getsockname()[:2]
        log.info("application %s on http://%s:%s", application.name, host, port)
        server = LeavingServer(config, service, settings.linger_s, stopped)
        search_less()
        lay_together()
        await server.serve(sockets=[listening])


def _bind(settings: ServiceSettings) -> socket.socket:
    """The listening socket.

    Raises:
        BadSettings: the address is taken, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise BadSettings(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "set host and port in [decision_service], or SIDEARM_DECISION_SERVICE_PORT"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
