"""What a command of ``sidearm models`` works on: the application, its data folder, its store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

# Numbers and redis take a while to import: `sidearm --help` must not.
if TYPE_CHECKING:
    import redis

    from sidecar.contracts.application import Application
    from sidecar.contracts.layout import DataFolder
    from sidecar.contracts.store import Scripts

AppFolder = Annotated[Path, typer.Option(help="The application's folder.", envvar="SIDEARM_APP")]
DataOption = Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")]
SHOP, DATA = Path("examples/shop"), Path("data")


class Opened(NamedTuple):
    """What a command works on."""

    application: Application
    data: DataFolder
    scripts: Scripts

    @property
    def name(self) -> str:
        """Of the application."""
        return self.application.name

    @property
    def client(self) -> redis.Redis:
        """Of the store."""
        return self.scripts.client


@contextmanager
def open_place(app: Path, data: Path) -> Iterator[Opened]:
    """What to work on.

    Raises:
        BadSettings: no store answers.
    """
    from sidecar.contracts.application import load_application
    from sidecar.contracts.errors import BadSettings
    from sidecar.contracts.layout import DataFolder
    from sidecar.contracts.store import Scripts, StoreError, connect
    from sidecar.contracts.store_address import store_address, without_password

    application, folder = load_application(app), DataFolder(data)
    url = store_address(os.environ, folder)
    try:
        with connect(url) as client:
            yield Opened(application, folder, Scripts.on(client))
    except StoreError as error:
        raise BadSettings(
            f"the store at {without_password(url)} does not answer ({error}): is `sidearm up` running?"
        ) from error
