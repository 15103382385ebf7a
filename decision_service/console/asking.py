"""Having an evaluation made: a child of its own where that can run, one at a time, watched by its files."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from decision_service.console.children import command_of, lacking
from decision_service.console.nights import is_name
from decision_service.errors import BadRequest, FieldError, NotFound, NotReady, Outdated
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.evaluating import (
    ANSWER,
    ASKED,
    FOLDER,
    LOCK,
    PROGRESS,
    EvaluationAsked,
    Step,
    check_asked,
    last_step,
)
from sidecar.contracts.layout import DataFolder

_MODULE = "offline_eval.apart"
_KEPT = 20
_LONGEST_S = 3600.0
_LOOK_S, _LOOKS = 0.05, 60
"""Three seconds between being told to end and being made to."""
_SILENT_MS = 15_000
"""A child that has just been started has not said anything yet."""
_LAST = ("done", "failed", "cancelled")


class Run(Struct, frozen=True):
    """One that somebody asked for, and how far it is."""

    name: str
    asked: EvaluationAsked | None
    """null: the question cannot be read."""
    step: Step
    answered: bool


class Asking:
    """Has evaluations of one application made; belongs to one event loop.

    Args:
        application: its name.
        folder: of the application.
        data: the data folder.
        now_ms: wall clock.
    """

    def __init__(self, application: str, folder: Path, data: DataFolder, now_ms: Callable[[], int]) -> None:
        self._folder, self._data, self._now_ms = folder, data, now_ms
        self._log = data.log(application)
        self._place = data.evaluations(application) / FOLDER
        self._mine: dict[str, asyncio.Task[None]] = {}
        """Those that this process began and that run."""

    def why_not(self) -> str:
        """Why no evaluation can be made from here; empty: one can."""
        if name := lacking("offline_eval", "duckdb", "polars", "pyarrow", "altair"):
            return f"{name} is not installed beside this service, as in its own image"
        if not (self._log / "decisions").is_dir():
            return "nothing was archived yet, or the Parquet log lies where this service cannot see it"
        return ""

    def runs(self) -> list[Run]:
        """Those that are kept, the newest first."""
        running = self.running()
        return [self._run(name, running) for name in reversed(self._names())]

    def running(self) -> str:
        """The name of the one that runs; empty: none does. Whoever runs holds the lock."""
        with suppress(OSError), (self._place / LOCK).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().decode(errors="replace").partition(" ")[0]
        return ""

    async def ask(self, question: EvaluationAsked) -> Run:
        """Begin one.

        Raises:
            BadRequest: it cannot be asked so.
            NotReady: none can be made here.
            Outdated: one runs already.
        """
        try:
            check_asked(question)
        except BadSettings as error:
            raise BadRequest(FieldError("", str(error))) from None
        if why_not := self.why_not():
            raise NotReady(f"no evaluation can be made from here: {why_not}")
        if self._mine or self.running():
            raise Outdated("an evaluation runs already: wait for it, or cancel it")
        name = f"{datetime.fromtimestamp(self._now_ms() / 1000, UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        self._write(name, question)
        child = await asyncio.create_subprocess_exec(
            *command_of(_MODULE, "--app", str(self._folder), "--data", str(self._data.root), "--name", name),
            stdin=asyncio.subprocess.DEVNULL,
        )
        self._mine[name] = asyncio.create_task(self._watch(name, child))
        return self._run(name, name)

    async def cancel(self, name: str) -> Run:
        """End the one that runs, whichever worker began it.

        Raises:
            NotFound: it does not run.
        """
        if not is_name(name) or self.running() != name:
            raise NotFound(f"evaluation {name[:64]!r} does not run")
        with suppress(OSError, ValueError):
            process = int((self._place / LOCK).read_text().partition(" ")[2])
            os.kill(process, signal.SIGTERM)
            await self._gone(name, process)
        if self._run(name, "").step.phase not in _LAST:
            self._say(name, Step("cancelled", self._now_ms()))
        return self._run(name, "")

    async def _gone(self, name: str, process: int) -> None:
        for _ in range(_LOOKS):
            if self.running() != name:
                return
            await asyncio.sleep(_LOOK_S)
        os.kill(process, signal.SIGKILL)

    async def _watch(self, name: str, child: asyncio.subprocess.Process) -> None:
        """Until it ends; of one that ends without a word something is said."""
        told = ""
        try:
            async with asyncio.timeout(_LONGEST_S):
                code = await child.wait()
        except TimeoutError:
            child.kill()
            code, told = await child.wait(), f"it took longer than {_LONGEST_S:g} s"
        finally:
            self._mine.pop(name, None)
        if self._run(name, name).step.phase not in _LAST:
            self._say(name, Step("failed", self._now_ms(), told=told or f"it ended with code {code}"))

    def _write(self, name: str, question: EvaluationAsked) -> None:
        """The question, in a folder of its own; the oldest go.

        Raises:
            NotReady: the disk is full or away.
        """
        try:
            (self._place / name).mkdir(parents=True)
            (self._place / name / ASKED).write_bytes(msgspec.json.encode(question))
            self._say(name, Step("asked", self._now_ms()))
            for old in self._names()[:-_KEPT]:
                shutil.rmtree(self._place / old, ignore_errors=True)
        except OSError as error:
            raise NotReady(f"{self._place} cannot be written: {error.strerror}") from error

    def _say(self, name: str, step: Step) -> None:
        with (self._place / name / PROGRESS).open("ab") as file:
            file.write(msgspec.json.encode(step) + b"\n")

    def _names(self) -> list[str]:
        """In the order in which they were asked for."""
        with suppress(OSError):
            return sorted(path.name for path in self._place.iterdir() if is_name(path.name))
        return []

    def _run(self, name: str, running: str) -> Run:
        place, asked, step = self._place / name, None, Step("asked", 0)
        with suppress(OSError, msgspec.MsgspecError):
            asked = msgspec.json.decode((place / ASKED).read_bytes(), type=EvaluationAsked)
        with suppress(OSError):
            step = last_step((place / PROGRESS).read_bytes()) or step
        silent = step.phase not in _LAST and name != running and name not in self._mine
        if silent and self._now_ms() - step.at_ms > _SILENT_MS:
            step = replace(
                step, phase="failed", told="it ended without a word: the machine or the service did"
            )
        return Run(name, asked, step, (place / ANSWER).is_file())
