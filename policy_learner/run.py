"""Running the loop: until it is told to stop, through every failure of the store and of the disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext

from policy_learner.archive.log_keeping import check, keeping, wall_ms
from policy_learner.errors import Overtaken
from policy_learner.join.healing import healed
from policy_learner.loop import drain, step
from policy_learner.report import report
from policy_learner.state import Deps, Learner, open_learner
from policy_learner.status import STOPPED, STOPPING
from sidecar.contracts.store import StoreError

log = logging.getLogger("sidearm.learner")


def run(deps: Deps, stop: threading.Event) -> None:
    """Learn until ``stop`` is set; then learn, publish and write what is there, and return.

    Raises:
        BadSettings: the log cannot be copied to where they say.
        Fenced: a later learner runs.
        BadCheckpoint, CannotRebuild: the state cannot be resumed; the message says what to do.
    """
    check(deps.settings)
    learner = _insist(deps, stop, lambda: open_learner(deps))
    app = deps.application.name
    here = deps.settings.archiver == "here"
    with keeping(deps.data.log(app), app, deps.settings, wall_ms) if here else nullcontext():
        while learner is not None and not stop.is_set():
            learner = _turn(learner, stop)
        if deps.nightly is not None:
            deps.nightly.stop()
        if learner is not None:
            _close(learner)


def _turn(learner: Learner, stop: threading.Event) -> Learner | None:
    """One step and its report; the learner to go on with."""
    nightly = learner.deps.nightly
    try:
        if nightly is not None:
            nightly.look()
        done = step(learner)
        learner.figures.step_error = ""
        report(learner)
    except Overtaken as error:
        log.warning("%s: loading the published state again", error)
        learner.training.close()
        return _insist(learner.deps, stop, lambda: open_learner(learner.deps))
    except (StoreError, OSError) as error:
        _say(learner, error)
        if not healed(learner.deps.scripts, learner.deps.application, error):
            stop.wait(learner.deps.settings.retry_s)
    else:
        if not done:
            stop.wait(learner.deps.settings.idle_s)
    return learner


def _close(learner: Learner) -> None:
    clock, settings = learner.deps.clock, learner.deps.settings
    end = clock() + settings.drain_s
    try:
        report(learner, STOPPING)  # the archiver, told to stop as well, waits for what comes now
        drain(learner, lambda: clock() < end)
        report(learner, STOPPED)
    except (StoreError, OSError, Overtaken) as error:
        log.error("stopped without closing the files; the next start reads it all again: %s", error)
    log.info("stopped at version %d, %d examples", learner.progress.version, learner.training.examples)


def _insist(deps: Deps, stop: threading.Event, attempt: Callable[[], Learner]) -> Learner | None:
    """The result, tried again while the store is away; None when told to stop meanwhile."""
    told = ""
    while not stop.is_set():
        try:
            return attempt()
        except (StoreError, OSError) as error:
            if told != (told := f"{type(error).__name__}: {error}"):  # once, not at every attempt
                log.error("%s; trying again every %g s", told, deps.settings.retry_s)
            if not healed(deps.scripts, deps.application, error):
                stop.wait(deps.settings.retry_s)
    return None


def _say(learner: Learner, error: Exception) -> None:
    """Log a failure once, not at every attempt, and show it in the status if the store can be told."""
    said = f"{type(error).__name__}: {error}"
    if said != learner.figures.step_error:
        log.error("%s; trying again every %g s", said, learner.deps.settings.retry_s)
    learner.figures.step_error = said
    try:
        report(learner)
    except StoreError:
        log.debug("the store cannot be told either")
