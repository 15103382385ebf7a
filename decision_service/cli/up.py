"""``sidearm up APP``: the whole platform on this machine until Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store_address import FEATURE_STORE, STORE, named_address, without_password

if TYPE_CHECKING:
    import redis
    from rich.console import Console
    from rich.table import Table

    from decision_service.cli.platform import Platform

DEFAULT_PORT = 8000
_LOOK_S = 1.0


def up_command(
    app: Annotated[Path, typer.Argument(help="The application's folder, such as examples/shop.")],
    data: Annotated[Path, typer.Option(help="Where everything is kept.", envvar="SIDEARM_DATA")] = Path(
        "data"
    ),
    port: Annotated[int, typer.Option(help="Port of the decision service.", min=1, max=65535)] = DEFAULT_PORT,
    joiners: Annotated[
        int, typer.Option(help="Processes that close decisions, beside the learner.", min=0, max=64)
    ] = 0,
    workers: Annotated[
        int | None, typer.Option(help="Processes that answer on the port.", min=1, max=64)
    ] = None,
    sidecars: Annotated[
        int | None, typer.Option(help="Processes that score on the sidecar's socket.", min=1, max=64)
    ] = None,
    archiver: Annotated[
        bool, typer.Option("--archiver", help="Write the log in a process of its own.")
    ] = False,
) -> None:
    """Start stores, sidecar, decision service and learner; stop them in order on Ctrl-C."""
    from rich.console import Console

    from decision_service.cli.platform import ARCHIVER, LINES, SIDECARS, WORKERS, parts_of, started

    console = Console()
    stop = _stop_event()
    environ = os.environ | ({ARCHIVER: "apart"} if archiver else {})
    environ |= {name: str(count) for name, count in ((WORKERS, workers), (SIDECARS, sidecars)) if count}
    if sidecars and LINES not in environ:
        environ[LINES] = str(sidecars)  # each connection is one sidecar's
    parts = parts_of(app, environ, joiners)
    with started(app, DataFolder(data), port=port, environ=environ, parts=parts) as platform:
        _introduce(console, platform)
        try:
            _watch(console, platform, stop)
        finally:
            names = [*(server.kind.name for server in platform.servers), *parts]
            console.print(f"stopping: {', '.join(reversed(names))} …", highlight=False)
    console.print("stopped")


def _stop_event() -> threading.Event:
    """Set by Ctrl-C or SIGTERM."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return stop


def _introduce(console: Console, platform: Platform) -> None:
    """The console and the key that opens it, and the two calls to begin with."""
    console.print(f"application  {platform.application.name}   docs  {platform.url}/docs")
    console.print(f"console      {platform.url}/console/   (sign in with the key below)", soft_wrap=True)
    console.print(
        f"API key      {platform.key}   (development only; Ctrl-C stops everything)\n", soft_wrap=True
    )
    if platform.tables_copied:
        console.print(f"{platform.tables_copied} tables of features were copied into a store of their own\n")
    console.print(
        _CURL.format(url=platform.url, key=platform.key), markup=False, highlight=False, soft_wrap=True
    )


def _watch(console: Console, platform: Platform, stop: threading.Event) -> None:
    """Show who runs until told to stop: a living table on a terminal, else one printed once.

    Raises:
        ProcessDied: one of them ended by itself. Nothing is started again silently.
    """
    from rich.live import Live

    from sidecar.contracts.store import connect

    with connect(platform.store_url, timeout_s=_LOOK_S) as client:
        if not console.is_terminal:
            console.print(_processes(platform))
            while not stop.wait(_LOOK_S):
                platform.check()
            return
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(_scene(platform, client), refresh=True)
                platform.check()
                if stop.wait(_LOOK_S):
                    return


def _scene(platform: Platform, client: redis.Redis) -> Table:
    from decision_service.cli.look import in_one_line, look
    from sidecar.contracts.store import StoreError

    table = _processes(platform)
    try:
        table.caption = in_one_line(look(client, platform.application))
    except (StoreError, OSError) as error:
        table.caption = f"the store does not answer: {error}"
    return table


def _processes(platform: Platform) -> Table:
    from rich.table import Table

    table = Table(
        "process",
        "pid",
        "state",
        "where",
        "log",
        box=None,
        pad_edge=False,
        caption_justify="left",
        min_width=60,
    )
    _add_servers(table, platform)
    name = platform.application.name
    where = {
        "sidecar": str(platform.data.sidecar_socket(name)),
        "service": platform.url,
        "evaluation": str(platform.data.evaluations(name)),
    }
    for part in platform.parts:
        table.add_row(part.name, str(part.child.pid), part.state(), where.get(part.name, "–"), str(part.log))
    return table


def _add_servers(table: Table, platform: Platform) -> None:
    """The embedded ones, and what is named in their place."""
    if platform.store is None:
        table.add_row("store", "–", STORE, without_password(platform.store_url), "–")
    for server in platform.servers:
        code = server.exit_code()
        state = "running" if code is None else f"ended with code {code}"
        table.add_row(server.kind.name, str(server.pid), state, server.url, str(server.log))
    if named := named_address(platform.environ, FEATURE_STORE):
        table.add_row("features", "–", FEATURE_STORE, without_password(named), "–")


_CURL = """\
curl -s {url}/v1/recommendations -H 'Authorization: Bearer {key}' \\
  -d '{{"session_id": "s-42", "context": {{"device": "ios", "hour": 21}}}}'
curl -s {url}/v1/rewards -H 'Authorization: Bearer {key}' \\
  -d '{{"session_id": "s-42", "event": "purchase", "reward_id": "order-77"}}'
"""
