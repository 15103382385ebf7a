"""Start the sidecar: ``python -m sidecar.server --app examples/shop --data data``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import uvicorn
import uvloop

from sidecar.contracts.application import Application, load_application
from sidecar.contracts.crew import run_crew
from sidecar.contracts.crew_figures import Crew, crew_of
from sidecar.contracts.errors import BadSettings, ContractError
from sidecar.contracts.garbage import search_less
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.process_log import last_word, log_as
from sidecar.contracts.settings import load_settings
from sidecar.contracts.signals import note_signals
from sidecar.contracts.store_address import store_address
from sidecar.server.app import open_server
from sidecar.server.direct import Direct
from sidecar.server.settings import SidecarSettings
from sidecar.server.stopping import StoppingServer

BAD_SETTINGS = 2

log = logging.getLogger("sidearm.sidecar")


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Serve until SIGTERM or SIGINT; 0 after an orderly stop, 2 when it cannot start as configured."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.server", description=__doc__)
    parser.add_argument("--app", default=environ.get("SIDEARM_APP"), help="folder that holds app.toml")
    parser.add_argument("--data", default=environ.get("SIDEARM_DATA", "data"), help="data folder")
    parser.add_argument("--workers", type=int, choices=range(1, 65), metavar="1…64", help="processes")
    arguments = parser.parse_args(argv)
    try:
        log_as(environ)
        if not arguments.app:
            raise BadSettings("name the application's folder: --app FOLDER or SIDEARM_APP")
        data = DataFolder(Path(arguments.data))
        application = load_application(Path(arguments.app))
        settings = load_settings(SidecarSettings, "sidecar", application.sidecar, environ)
        path = Path(settings.socket) if settings.socket else data.sidecar_socket(application.name)
        url = store_address(environ, data)
        count, noted = arguments.workers or settings.workers, note_signals()

        def work(place: int) -> int:
            stopped = note_signals() if count > 1 else noted
            crew = crew_of(data.run, "sidecar", place, count)
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(_serve(application, settings, url, listening, stopped, crew))
            except (ContractError, OSError, ValueError) as error:
                return _say(error)
            return 0

        with bind(path) as listening:
            code = run_crew(count, listening, work)
    except (ContractError, OSError, ValueError) as error:
        return _say(error)
    path.unlink(missing_ok=True)
    return code


def _say(error: Exception) -> int:
    last_word("sidecar", error)
    return BAD_SETTINGS


async def _serve(
    application: Application,
    settings: SidecarSettings,
    store_url: str,
    listening: socket.socket,
    stopped: Sequence[int],
    crew: Crew | None,
) -> None:
    async with open_server(application, settings, store_url, crew) as server:
        config = uvicorn.Config(
            server,
            http=partial(Direct, server),  # type: ignore[arg-type]  # it is called
            lifespan="off",
            ws="none",
            proxy_headers=False,
            access_log=False,
            server_header=False,
            date_header=False,
            log_config=None,
            log_level="warning",
            timeout_keep_alive=3600,
            timeout_graceful_shutdown=settings.drain_s,
        )
        log.info("application %s on %s", application.name, listening.getsockname())
        search_less()
        await StoppingServer(config, stopped).serve(sockets=[listening])


def bind(path: Path) -> socket.socket:
    """A listening Unix socket at ``path`` for owner and group; one left by a dead process is replaced.

    Raises:
        OSError: a living process listens there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if path.exists():
        if _answers(path):
            listening.close()
            raise OSError(f"{path} is in use: another sidecar runs with this data folder")
        path.unlink()
    listening.bind(str(path))
    path.chmod(0o660)
    listening.listen(1024)
    return listening


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
