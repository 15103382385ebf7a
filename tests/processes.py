"""The platform's real processes under test: started, watched, killed, and none left behind."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from decision_service.cli.children import Child, start_child, stop_child, tail
from tests.waiting import until

ROOT = Path(__file__).parent.parent


class Process:
    """One ``python -m <module>`` child with its log."""

    def __init__(self, module: str, child: Child, log: Path) -> None:
        self.module = module
        self.child = child
        self.log = log

    @property
    def pid(self) -> int:
        return self.child.pid

    def alive(self) -> bool:
        return self.child.poll() is None

    def wait_until(self, ready: Callable[[], object], deadline_s: float = 60.0, what: str = "ready") -> None:
        """Until ``ready``; fails at once, with the log, when the process ends first."""

        def ready_or_dead() -> object:
            if not self.alive():
                raise AssertionError(
                    f"{self.module} ended with {self.child.returncode}:\n{tail(self.log, 40)}"
                )
            return ready()

        try:
            until(ready_or_dead, deadline_s, f"{self.module} {what}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{tail(self.log, 40)}") from None

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        self.child.kill()
        self.child.wait()

    def stop(self, patience_s: float = 60.0) -> int:
        """SIGTERM; the exit code."""
        return stop_child(self.child, patience_s)

    def exit_code(self, deadline_s: float = 60.0) -> int:
        """Wait for it to end by itself."""
        return self.child.wait(deadline_s)

    def output(self) -> str:
        return self.log.read_text(errors="replace")


class Processes:
    """Starts processes and, at the end, leaves none of them (see the fixture ``processes``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Process] = []

    def start(
        self, module: str, *arguments: object, environ: Mapping[str, str] | None = None, name: str = ""
    ) -> Process:
        """``python -m module arguments`` in the repository's root; ``environ`` is added to ours."""
        command = [sys.executable, "-m", module, *map(str, arguments)]
        return self.run(command, name or module, environ)

    def run(
        self,
        command: Sequence[str],
        name: str,
        environ: Mapping[str, str] | None = None,
        *,
        alone: bool = False,
    ) -> Process:
        """Any command, with the same care; ``alone``: ``environ`` is all it sees, ours is not added."""
        log = self.folder / f"{name}-{len(self.started)}.log"
        ours = {} if alone else os.environ
        child = start_child(command, log, environ={**ours, **(environ or {})}, folder=ROOT)
        self.started.append(Process(name, child, log))
        return self.started[-1]

    def stop_all(self) -> list[str]:
        """Stop what still runs, last started first; the names of those that had to be killed."""
        return [p.module for p in reversed(self.started) if p.alive() and p.stop() == -signal.SIGKILL]


def pid_exists(pid: int) -> bool:
    """Whether a process with that id is alive (a zombie is not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def short_folder() -> Path:
    """On a path short enough for sockets; whoever asks removes it."""
    return Path(tempfile.mkdtemp(prefix="sidearm-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT", "/tmp")))
