"""What is done to the platform under load, one fault at a time; each returns what to count it as."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from policy_learner.__main__ import FENCED
from policy_learner.failpoints import MOMENTS
from policy_learner.status import read
from sidecar.contracts.store import connect
from tests.faults.customer import Violation
from tests.faults.power import cut_power
from tests.faults.stage import NAME, Stage
from tests.processes import Process
from tests.waiting import until

ARCHIVING = tuple(m for m in MOMENTS if m.startswith(("file", "linked", "archived", "compacted", "manifest")))
FENCED_WITHIN_S = 20.0


def kill_service(stage: Stage, rng: random.Random) -> str:
    """The next one decides in another mode."""
    stage.change_mode()
    return _kill(stage, "service")


def kill_sidecar(stage: Stage, rng: random.Random) -> str:
    return _kill(stage, "sidecar")


def kill_learner(stage: Stage, rng: random.Random) -> str:
    return _kill(stage, "learner")


def kill_store(stage: Stage, rng: random.Random) -> str:
    return _kill(stage, "store")


def pause_store(stage: Stage, rng: random.Random) -> str:
    """It is there and says nothing; who waits for it too long writes down what it is to be told."""
    with _sleeping_store(stage):
        time.sleep(rng.uniform(0.2, 2.0))
    return "store paused"


def kill_service_in_an_outage(stage: Stage, rng: random.Random) -> str:
    """What it has written down is sent by the next one, which may begin before the store is back."""
    stage.change_mode()
    with _sleeping_store(stage):
        with contextlib.suppress(AssertionError):
            until(stage.spooled, 5.0)
        time.sleep(rng.uniform(0.0, 0.5))
        told = "service killed with a spool" if stage.spooled() else "service killed in an outage"
        stage.kill("service")
        if rng.random() < 0.5:
            stage.start("service")
            time.sleep(rng.uniform(0.0, 2.0))
            return told
    stage.start("service")
    return told


def kill_store_while_it_is_told(stage: Stage, rng: random.Random) -> str:
    """The spool is on its way to the store when that dies."""
    with _sleeping_store(stage), contextlib.suppress(AssertionError):
        until(stage.spooled, 5.0)
    time.sleep(rng.uniform(0.0, 0.3))
    _kill(stage, "store")
    return "store killed while the spool is sent"


def kill_learner_at_a_moment(stage: Stage, rng: random.Random) -> str:
    """The next learner dies by its own hand, just after a named step."""
    one_model = ("contests written", "promoted")
    never = ("leased", "buried", "orphans given up", *one_model, *(ARCHIVING if stage.apart else ()))
    moment = rng.choice([m for m in MOMENTS if m not in never])
    stage.kill("learner")
    process = stage.start("learner", failpoint=f"{moment}:{rng.randint(1, 3)}")
    try:
        until(lambda: not process.alive(), 6.0)
    except AssertionError:
        process.kill()  # the moment did not come
        stage.start("learner")
        return "learner killed"
    stage.start("learner")
    return f"learner killed when {moment}"


def pause_learner(stage: Stage, rng: random.Random) -> str:
    """Another takes over; the paused one comes back, finds itself fenced off, and goes."""
    paused = stage.learner
    _wait_until_it_learns(stage, paused)
    paused.child.send_signal(signal.SIGSTOP)
    _wait_until_it_learns(stage, stage.start("learner"))
    time.sleep(rng.uniform(0.0, 2.0))
    paused.child.send_signal(signal.SIGCONT)
    try:
        code = paused.exit_code(FENCED_WITHIN_S)
    except subprocess.TimeoutExpired:
        raise Violation(f"I5 a learner that was paused works on:\n{paused.output()}") from None
    if code != FENCED:
        raise Violation(f"I5 a learner that was paused ended with {code}, not {FENCED}:\n{paused.output()}")
    return "learner paused, fenced off"


def kill_trainer(stage: Stage, rng: random.Random) -> str:
    """The process that runs VW, under the learner."""
    return _signal_trainer(stage, signal.SIGKILL, "trainer killed")


def pause_trainer(stage: Stage, rng: random.Random) -> str:
    """It stands still for a while, and the learner waits for it."""
    told = _signal_trainer(stage, signal.SIGSTOP, "trainer paused")
    time.sleep(rng.uniform(0.0, 2.0))
    _signal_trainer(stage, signal.SIGCONT, "")
    return told


def kill_joiner(stage: Stage, rng: random.Random) -> str:
    return _kill(stage, "joiner")


def kill_archiver(stage: Stage, rng: random.Random) -> str:
    return _kill(stage, "archiver")


def kill_archiver_at_a_moment(stage: Stage, rng: random.Random) -> str:
    """The next archiver dies by its own hand, around the writing of a file, the naming, or all of it."""
    moment = rng.choice(ARCHIVING[:4])
    stage.kill("archiver")
    process = stage.start("archiver", failpoint=f"{moment}:{rng.randint(1, 3)}")
    try:
        until(lambda: not process.alive(), 6.0)
    except AssertionError:
        process.kill()
        moment = ""
    stage.start("archiver")
    return f"archiver killed when {moment}" if moment else "archiver killed"


def pause_helpers(stage: Stage, rng: random.Random) -> str:
    """Others of them do their work; the paused ones come back in the middle of it, and end in order."""
    names = ("joiner", "archiver")
    for name in names:
        stage.until_it_works(name)
    paused = [stage.process(name) for name in names]
    for process in paused:
        process.child.send_signal(signal.SIGSTOP)
    for name in names:
        stage.start(name)
    time.sleep(rng.uniform(0.0, 2.0))
    for process in paused:
        process.child.send_signal(signal.SIGCONT)
    codes = [process.stop(60.0) for process in paused]
    if any(codes):
        raise Violation(f"I6 helpers that were paused ended with {codes}:\n{paused[1].output()[-2000:]}")
    return "joiner and archiver paused"


def lose_replies(stage: Stage, rng: random.Random) -> str:
    """Some replies are lost after execution, some requests before it."""
    stage.proxy.lose_replies, stage.proxy.reset = 0.03, 0.01
    time.sleep(1.0)
    stage.proxy.lose_replies = stage.proxy.reset = 0.0
    return "a second of lost replies"


def lose_power(stage: Stage, rng: random.Random) -> str:
    gone = cut_power(stage, stage.proxy, rng)
    return "power lost, log torn" if gone else "power lost"


def fill_disk(stage: Stage, rng: random.Random) -> str:
    """No file of the learner may grow: every write fails, as on a full disk.

    A stand-in that needs no rights: the errno is EFBIG where a full disk says ENOSPC, which the simulation
    raises. It holds for shared memory too, without which a learner cannot even begin.
    """
    _wait_until_it_learns(stage, stage.learner)
    if stage.apart:
        stage.until_it_works("archiver")
    _limit_files(stage, 0)
    time.sleep(1.0)
    _limit_files(stage, resource.RLIM_INFINITY)
    return "disk full"


@contextlib.contextmanager
def _sleeping_store(stage: Stage) -> Iterator[None]:
    os.kill(stage.store.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stage.store.pid, signal.SIGCONT)


def _wait_until_it_learns(stage: Stage, learner: Process) -> None:
    """It has taken its epoch: of two learners the one that did so last is the right one."""
    with connect(stage.store.url) as client:
        learner.wait_until(lambda: (s := read(client, NAME)) and s.pid == learner.pid, 60.0, "learns")


def _signal_trainer(stage: Stage, number: int, told: str) -> str:
    """Whatever children the learner has: one, but for the moments in which it is started."""
    learner = stage.learner.pid
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for child in Path(f"/proc/{learner}/task/{learner}/children").read_text().split():
            os.kill(int(child), number)
    return told


def _limit_files(stage: Stage, most_bytes: int) -> None:
    for process in [stage.learner, *([stage.process("archiver")] if stage.apart else [])]:
        if process.alive():
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


def _kill(stage: Stage, name: str) -> str:
    stage.kill(name)
    stage.start(name)
    return f"{name} killed"


INJURIES = (
    kill_service,
    kill_service,
    kill_sidecar,
    kill_learner,
    kill_store,
    pause_store,
    kill_service_in_an_outage,
    kill_service_in_an_outage,
    kill_store_while_it_is_told,
    kill_learner_at_a_moment,
    kill_learner_at_a_moment,
    pause_learner,
    kill_trainer,
    pause_trainer,
    lose_replies,
    lose_power,
    lose_power,
    fill_disk,
)
INJURIES_APART = (kill_joiner, kill_archiver, kill_archiver_at_a_moment, pause_helpers)
"""Where joiner and archiver are processes of their own."""
