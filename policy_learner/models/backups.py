"""Backups made by the learner itself, now and then, in a thread: an object store may take its time."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from policy_learner.errors import BadBackup, NothingToBackUp
from policy_learner.models.backup import Place, back_up

if TYPE_CHECKING:
    from policy_learner.settings import LearnerSettings
    from policy_learner.timing import Every

log = logging.getLogger("sidearm.learner")


class Backups:
    """Puts the newest checkpoint where the settings say; what fails is said and tried again next time.

    Args:
        folder: of the checkpoints.
        app: the application's name.
        settings: the learner's.
        timer: when the next one is made; the first is as soon as there is a checkpoint.
    """

    def __init__(self, folder: Path, app: str, settings: LearnerSettings, timer: Every) -> None:
        self._folder, self._app, self._settings, self._timer = folder, app, settings, timer
        self._thread: threading.Thread | None = None
        self._begun = False
        self.error = ""
        """Why the last one failed; empty when it did not."""

    def make(self) -> None:
        """Begin one, if it is time and none is going on."""
        if not self._settings.backup_to or (self._begun and not self._timer.due) or self.is_going_on:
            return
        self._begun = True
        self._timer.restart()
        self._thread = threading.Thread(target=self._make, name="backup", daemon=True)
        self._thread.start()

    @property
    def is_going_on(self) -> bool:
        """Whether one is being made."""
        return self._thread is not None and self._thread.is_alive()

    def _make(self) -> None:
        try:
            place = Place(self._settings.backup_to, self._app)
            manifest, is_new = back_up(self._folder, self._app, place)
            if is_new:
                log.info("version %d backed up to %s", manifest.version, place.where)
            place.thin(self._settings.backup_keep)
            self.error = ""
        except NothingToBackUp:
            self._begun = False  # as soon as there is one
        except BadBackup as error:
            self.error = f"backup: {error}"
            log.error("%s", error)
