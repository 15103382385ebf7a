"""What a joiner and an archiver have in common: how they start, go on through failures, and stop."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from policy_learner.errors import LearnerError
from policy_learner.failpoints import arm_from
from policy_learner.join.healing import healed
from policy_learner.settings import LearnerSettings, learner_settings
from policy_learner.starting import folders_of, give_way, told_to_stop
from policy_learner.timing import Clock, Every
from sidecar.contracts.application import Application, load_application
from sidecar.contracts.errors import ContractError
from sidecar.contracts.garbage import search_less
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.process_log import last_word
from sidecar.contracts.scripts.working import Worker, working_call
from sidecar.contracts.store import Scripts, StoreError, connect
from sidecar.contracts.store_address import store_address

BAD_SETTINGS = 2
DAMAGED_LOG = 4

log = logging.getLogger("sidearm.learner")


class HelperDeps(NamedTuple):
    """What is given to a joiner or an archiver."""

    application: Application
    settings: LearnerSettings
    data: DataFolder
    scripts: Scripts
    clock: Clock
    name: str
    """Its own, different from that of every other process."""
    patience_s: float = math.inf
    """Longest that an archiver's end waits for a learner that is ending too, if that is less than the drain.
    0 where nobody else can go on meanwhile, as in a simulation."""


class Helper(Protocol):
    """One that works in steps."""

    error: str
    """Why the last step failed; empty when it did not."""

    def step(self) -> int:
        """Everything once; how much there was to do."""

    def stop(self) -> None:
        """The orderly end."""

    def report(self) -> Worker:
        """How it is."""


Stop = threading.Event
Open = Callable[[HelperDeps], Helper]


def run(deps: HelperDeps, open_helper: Open, stop: Stop) -> None:
    """Work until ``stop`` is set, through every failure of the store and of the disk.

    Raises:
        LearnerError: the log is damaged.
    """
    helper, due = None, Every(deps.settings.status_every_s, deps.clock)
    while not stop.is_set():
        try:
            helper = helper or open_helper(deps)
            done, helper.error = helper.step(), ""
            if due.due:
                due.restart()
                _tell(deps, helper.report())
        except (StoreError, OSError) as error:
            _note(helper, deps, error)
            if not healed(deps.scripts, deps.application, error):
                stop.wait(deps.settings.retry_s)
            continue
        if not done:
            stop.wait(deps.settings.idle_s)
    if helper is not None:
        _close(deps, helper)


def main(
    kind: str, about: str, open_helper: Open, argv: Sequence[str] | None, environ: Mapping[str, str]
) -> int:
    """A process: 0 after an orderly stop at SIGTERM or SIGINT, else one line on stderr and 2 or 4."""
    try:
        folders, stop = folders_of(f"python -m policy_learner.{kind}", about, argv, environ), told_to_stop()
        arm_from(environ)
        deps = _deps(kind, folders.named(), folders.data, environ)
        search_less()
        give_way(deps.settings.niceness)
        with deps.scripts.client:
            run(deps, open_helper, stop)
    except LearnerError as error:
        return _say(kind, error, DAMAGED_LOG)
    except (ContractError, OSError) as error:
        return _say(kind, error, BAD_SETTINGS)
    return 0


def _deps(kind: str, folder: Path, data: DataFolder, environ: Mapping[str, str]) -> HelperDeps:
    application = load_application(folder)
    settings = learner_settings(application.learner, environ)
    client = connect(store_address(environ, data))
    name = f"{kind}-{socket.gethostname()}-{os.getpid()}"
    return HelperDeps(application, settings, data, Scripts.on(client), time.monotonic, name)


def _close(deps: HelperDeps, helper: Helper) -> None:
    try:
        helper.stop()
        _tell(deps, None)
    except (StoreError, OSError) as error:
        log.error("stopped without a word; others go on where this one was: %s", error)


def _note(helper: Helper | None, deps: HelperDeps, error: Exception) -> None:
    """Log a failure once, not at every attempt, and show it if the store can be told."""
    said = f"{type(error).__name__}: {error}"
    if helper is None or said != helper.error:
        log.error("%s; trying again every %g s", said, deps.settings.retry_s)
    if helper is None:
        return
    helper.error = said
    try:
        _tell(deps, helper.report())
    except (StoreError, OSError):
        log.debug("the store cannot be told either")


def _tell(deps: HelperDeps, report: Worker | None) -> None:
    deps.scripts.run(working_call(deps.application.name, deps.name, report))


def _say(kind: str, error: Exception, code: int) -> int:
    last_word(kind, error)
    return code
