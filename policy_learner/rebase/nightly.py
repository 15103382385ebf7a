"""The schedule of rebasing: once a day a base is trained in a process of its own, and handed over.

When it was begun last stands in a file, so that a learner that restarts does not begin again, and one that
was not there at the time makes up for it. A night that ends badly is tried again, a few times.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from policy_learner.models.checkpoint import write_whole
from sidecar.contracts.daily import due_before

if TYPE_CHECKING:
    from policy_learner.settings import LearnerSettings

_FILE = "nightly.json"
_ATTEMPTS = 3
_PATIENCE_S = 5.0

log = logging.getLogger("sidearm.learner")


class Night(Struct, frozen=True, kw_only=True):
    """The last one."""

    due_ms: int
    """When it was to begin."""
    attempts: int = 0
    is_done: bool = False


class Nightly:
    """Starts the training of a base when it is time.

    Args:
        folder: of the checkpoints.
        arguments: of the application and the data folder, as every process takes them; none: nothing is
            ever started.
        settings: the learner's.
        now_ms: the machine's clock.
    """

    def __init__(
        self,
        folder: Path,
        arguments: tuple[str, ...],
        settings: LearnerSettings,
        now_ms: Callable[[], int],
    ) -> None:
        self._folder, self._arguments, self._now_ms = folder, arguments, now_ms
        self._settings = settings
        self._night: Night | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self.error = ""
        """Why the last one failed; empty when it did not."""

    @property
    def is_going_on(self) -> bool:
        """Whether a base is being trained."""
        return self._child is not None and self._child.poll() is None

    def look(self) -> None:
        """Begin one if it is time; take note of one that ended.

        Raises:
            OSError: the disk is full or away; call again.
        """
        if not (self._settings.rebase_at and self._arguments):
            return
        if self._child is not None:
            self._take_note(self._child)
            return
        due_ms = due_before(self._settings.rebase_at, self._now_ms())
        night = self._night or self._read() or Night(due_ms=due_ms, is_done=True)
        if due_ms > night.due_ms:
            night = Night(due_ms=due_ms)
        if night != self._night:
            self._keep(night)
        if not night.is_done and night.attempts < _ATTEMPTS:
            self._begin(night)

    def stop(self) -> None:
        """End what is going on; the next learner begins it again."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait(_PATIENCE_S)

    def _begin(self, night: Night) -> None:
        self._keep(msgspec.structs.replace(night, attempts=night.attempts + 1))
        command = [sys.executable, "-m", "policy_learner.rebase.train", str(os.getpid()), *self._arguments]
        command += ["--days", str(self._settings.rebase_days), "--epochs", str(self._settings.rebase_epochs)]
        command += ["--hand-over", "--wait", "0"]
        log.info("a base is trained on the last %d days", self._settings.rebase_days)
        self._child = self._start(command)

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own

    def _take_note(self, child: subprocess.Popen[bytes]) -> None:
        code = child.poll()
        if code is None:
            return
        self._child = None
        self.error = f"rebase: training ended with code {code}" if code else ""
        if code:
            log.error("%s; what it said stands above", self.error)
        elif self._night is not None:
            self._keep(msgspec.structs.replace(self._night, is_done=True))

    def _read(self) -> Night | None:
        try:
            return msgspec.json.decode((self._folder / _FILE).read_bytes(), type=Night)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def _keep(self, night: Night) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._folder / _FILE, msgspec.json.encode(night))
        self._night = night
