"""``sidearm import obd``: the small Open Bandit Dataset as decisions of an application of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offline_eval.interchange_cli import add_imports
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.layout import DataFolder

# Polars takes a while to import: `sidearm --help` must not.
if TYPE_CHECKING:
    from rich.console import Console

    from examples.fashion.dataset import Campaign, Policy
    from examples.fashion.importer import Imported

_LEARN_DEADLINE_S = 120.0

app = typer.Typer(help="Bring logs of other systems in, with their propensities.", no_args_is_help=True)


class NotInDataset(SidearmError):
    """An option names what the data set does not hold."""


add_imports(app)


@app.callback()
def _group() -> None:
    """Bring logs of other systems in, with their propensities."""


@app.command("obd")
def obd_command(
    data: Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")] = Path("data"),
    campaign: Annotated[str, typer.Option(help="all, men or women.")] = "all",
    policy: Annotated[str, typer.Option(help="Who logged: random or bts.")] = "random",
    limit: Annotated[int, typer.Option(help="Only the first impressions; 0: all.", min=0)] = 0,
) -> None:
    """Import the small Open Bandit Dataset, join its clicks, learn from the first 70 % by time.

    Where no store answers, one is started for the while, and a learner with it. Importing again changes
    nothing. Licence of the data: see the data set's own pages; nothing of it is kept in this repository.
    """
    from rich.console import Console

    console = Console()
    chosen, logger = _choices(campaign, policy)
    folder, imported = _import(DataFolder(data), chosen, logger, limit, console)
    clicks = sum(imported.rewards.values())
    console.print(
        f"{imported.rows:,} impressions, {clicks:,} clicks: {imported.new:,} new, "
        f"{imported.rows - imported.new:,} there before; the first {imported.learnt:,} are learnt from"
    )
    log = DataFolder(data).log("fashion")
    console.print(
        f"application  {folder}\n"
        f"evaluate     sidearm evaluate --log {log} --since {imported.split_at:%Y-%m-%dT%H:%M:%S.%f}",
        soft_wrap=True,
        highlight=False,
    )


def _choices(campaign: str, policy: str) -> tuple[Campaign, Policy]:
    if campaign not in ("all", "men", "women"):
        raise NotInDataset(f"--campaign {campaign!r} is not in the data set; legal: all, men, women")
    if policy not in ("random", "bts"):
        raise NotInDataset(f"--policy {policy!r} is not in the data set; legal: random, bts")
    return campaign, policy  # type: ignore[return-value]  # narrowed above, which mypy does not follow


def _import(
    data: DataFolder, campaign: Campaign, policy: Policy, limit: int, console: Console
) -> tuple[Path, Imported]:
    from rich.progress import Progress

    from examples.fashion import application, dataset
    from examples.fashion.importer import import_rows
    from examples.settled import wait_until_learnt
    from sidecar.contracts.store import Scripts, connect

    frame = dataset.read(policy, campaign)
    frame = frame.head(limit) if limit else frame
    folder = application.write_application(data.root, dataset.item_context(policy, campaign))
    known, catalogue = application.load(folder)
    with _store(folder, data) as (url, ours), connect(url) as client, Progress(console=console) as progress:
        task = progress.add_task("impressions", total=len(frame))
        imported = import_rows(
            Scripts.on(client),
            known,
            catalogue,
            frame,
            policy,
            campaign,
            lambda rows: progress.advance(task, rows),
        )
        if ours:
            wait_until_learnt(client, known, deadline_s=_LEARN_DEADLINE_S)
    return folder, imported


@contextmanager
def _store(folder: Path, data: DataFolder) -> Iterator[tuple[str, bool]]:
    """Address of a store, and whether it and a learner were started here."""
    from decision_service.cli.platform import started
    from sidecar.contracts.store import StoreError, connect
    from sidecar.contracts.store_address import store_address

    url = store_address(os.environ, data)
    try:
        with connect(url) as client:
            client.ping()
    except (StoreError, OSError):
        with started(folder, data, port=0, environ=os.environ, parts=("learner",)) as platform:
            yield platform.store_url, True
        return
    yield url, False
