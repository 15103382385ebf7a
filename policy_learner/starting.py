"""How a process of this package starts: its two folders, its log, and the word to stop."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sidecar.contracts.errors import BadSettings
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.process_log import log_as


class Folders(NamedTuple):
    """Where the process finds what it works on."""

    app: Path | None
    """The folder that holds ``app.toml``, if it was named."""
    data: DataFolder

    def named(self) -> Path:
        """The application's folder.

        Raises:
            BadSettings: nobody named it.
        """
        if self.app is None:
            raise BadSettings("name the application's folder: --app FOLDER or SIDEARM_APP")
        return self.app


def folders_of(
    prog: str, about: str | None, argv: Sequence[str] | None, environ: Mapping[str, str]
) -> Folders:
    """From the command line, else from the environment. Logging is set up on the way.

    Raises:
        BadSettings: it cannot be, as the environment has it.
    """
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("--app", default=environ.get("SIDEARM_APP"), help="folder that holds app.toml")
    parser.add_argument("--data", default=environ.get("SIDEARM_DATA", "data"), help="data folder")
    chosen = parser.parse_args(argv)
    log_as(environ)
    return Folders(Path(chosen.app) if chosen.app else None, DataFolder(Path(chosen.data)))


def told_to_stop() -> threading.Event:
    """Set at the first SIGTERM or SIGINT.

    By a thread: the handler itself runs in the middle of whatever the main thread does, which may be waiting
    for this very event and hold its lock.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=stop.set, daemon=True).start())
    return stop


def give_way(niceness: int) -> None:
    """Let whoever decides have the processor first: what is learnt later is learnt all the same."""
    os.nice(max(0, niceness - os.nice(0)))
