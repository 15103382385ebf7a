"""Where things lie below the data folder; no other file spells such a path."""

from __future__ import annotations

import os
from pathlib import Path

from sidecar.contracts.errors import BadSettings

_SOCKET_PATH_LIMIT_BYTES = 107  # sockaddr_un.sun_path less its final zero


class DataFolder:
    """The paths below one data folder. Nothing is written elsewhere."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def run(self) -> Path:
        """Sockets and pid files."""
        return self.root / "run"

    @property
    def store(self) -> Path:
        """The embedded store's append-only files."""
        return self.root / "store"

    @property
    def feature_store(self) -> Path:
        """The same of the embedded feature store."""
        return self.root / "features"

    @property
    def keys(self) -> Path:
        """API keys, hashed."""
        return self.root / "keys.json"

    @property
    def draw_secret(self) -> Path:
        """Key of the draw, unless the environment gives it."""
        return self.root / "draw_secret"

    def log(self, app: str) -> Path:
        """Root of an application's Parquet datasets."""
        return self.root / "log" / app

    def evaluations(self, app: str) -> Path:
        """What other policies would have earned: a folder for each day."""
        return self.root / "evaluations" / app

    def spool(self, app: str) -> Path:
        """What services wrote down while the store was away: a folder for each process."""
        return self.root / "spool" / app

    def inputs(self, app: str, decoy: str) -> Path:
        """Inputs that a decoy archived, see ``inputs.py``."""
        return self.root / "inputs" / app / decoy

    def checkpoints(self, app: str) -> Path:
        """The trainer's own state."""
        return self.root / "checkpoints" / app

    def store_socket(self) -> Path:
        """Socket of the embedded store."""
        return socket_path(self.run / "store.sock")

    def feature_store_socket(self) -> Path:
        """Socket of the embedded feature store; its name is shorter than the store's, which always fitted."""
        return socket_path(self.run / "rows.sock")

    def sidecar_socket(self, app: str, container: str = "") -> Path:
        """Socket of an application's sidecar, or of another model container of it."""
        return socket_path(self.run / f"sidecar-{app}{'.' * bool(container)}{container}.sock")


def socket_path(path: Path) -> Path:
    """``path`` in a form short enough for a Unix socket: relative to the working folder where that helps.

    Raises:
        BadSettings: no form of it fits.
    """
    for form in (str(path), os.path.relpath(path)):
        if len(os.fsencode(form)) <= _SOCKET_PATH_LIMIT_BYTES:
            return Path(form)
    raise BadSettings(
        f"{path} is too long for a Unix socket ({_SOCKET_PATH_LIMIT_BYTES} bytes): shorten the data folder"
    )
