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

if TYPE_CHECKING:
    from rich.console import Console

    from decision_service.cli.platform import Platform

DEFAULT_PORT = 8000
_LOOK_S = 1.0


def up_command(
    app: Annotated[Path, typer.Argument(help="The application's folder, such as examples/shop.")],
    data: Annotated[Path, typer.Option(help="Where everything is kept.", envvar="SIDEARM_DATA")] = Path(
        "data"
    ),
    port: Annotated[int, typer.Option(help="Port of the decision service.", min=1, max=65535)] = DEFAULT_PORT,
) -> None:
    """Start store, sidecar, decision service and learner; stop them in order on Ctrl-C."""
    from rich.console import Console

    from decision_service.cli.platform import started

    console = Console()
    stop = _stop_event()
    with started(app, DataFolder(data), port=port, environ=os.environ) as platform:
        _introduce(console, platform)
        while not stop.wait(_LOOK_S):
            platform.check()
        console.print("stopping …")
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
    """What runs where, and the two calls to begin with."""
    from rich.table import Table

    table = Table("process", "pid", "where", "log", box=None, pad_edge=False)
    if platform.store:
        table.add_row("store", str(platform.store.pid), platform.store_url, str(platform.store.log))
    else:
        table.add_row("store", "–", platform.store_url, "–")
    where = {"sidecar": str(platform.data.sidecar_socket(platform.application.name)), "service": platform.url}
    for part in platform.parts:
        table.add_row(part.name, str(part.child.pid), where.get(part.name, "–"), str(part.log))
    console.print(table)
    console.print(f"\napplication  {platform.application.name}   docs  {platform.url}/docs")
    console.print(
        f"API key      {platform.key}   (development only; Ctrl-C stops everything)\n", soft_wrap=True
    )
    console.print(
        _CURL.format(url=platform.url, key=platform.key), markup=False, highlight=False, soft_wrap=True
    )


_CURL = """\
curl -s {url}/v1/recommendations -H 'Authorization: Bearer {key}' \\
  -d '{{"session_id": "s-42", "context": {{"device": "ios", "hour": 21}}}}'
curl -s {url}/v1/rewards -H 'Authorization: Bearer {key}' \\
  -d '{{"session_id": "s-42", "event": "purchase", "reward_id": "order-77"}}'
"""
