"""``python -m offline_eval.apart PARENT --app … --data … --name …``: an evaluation that somebody asked for.

Question and answer are files (``sidecar.contracts.evaluating``). It runs behind everything else, one at a
time, in bounded memory, and ends with its parent or by SIGTERM; what it says on the way are lines in a file.
"""

from __future__ import annotations

import argparse
import datetime as dt
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NoReturn

import msgspec

from offline_eval.asking import Asked, asked_by
from offline_eval.candidates import candidate_of
from offline_eval.dataset import VIEW, Window
from offline_eval.errors import BadInput
from offline_eval.evaluate import Options, evaluate, load
from offline_eval.filing import in_one_line, write_whole
from offline_eval.page import to_html
from offline_eval.report import to_json
from offline_eval.results import Evaluation
from offline_eval.reward_model import ModelSettings
from offline_eval.tied import tie_to
from offline_eval.weight_files import read_weights, weights_by_name
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.evaluating import (
    ANSWER,
    ASKED,
    FOLDER,
    LOCK,
    PAGE,
    PROGRESS,
    EvaluationAsked,
    Phase,
    Step,
    check_asked,
)
from sidecar.contracts.store_address import without_password

_NICENESS = 19
_MEMORY = "1GB"
_LINES = 200
"""At most so many lines of progress while rows are scored."""
_FAILED = 1


class Told:
    """Writes the lines of progress of one evaluation.

    Args:
        path: the file.
        now_ms: wall clock.
    """

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._path, self._now_ms = path, now_ms
        self._rows = self._of = self._said = 0

    def say(self, phase: Phase, told: str = "") -> None:
        """One line."""
        step = Step(phase, self._now_ms(), self._rows, self._of, told)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(step) + b"\n")

    def of(self, rows: int) -> None:
        """So many are to be scored, at most."""
        self._of = rows
        self.say("scoring")

    def advance(self, rows: int) -> None:
        """More are scored: a line now and then."""
        self._rows += rows
        if (self._rows - self._said) * _LINES >= self._of:
            self._said = self._rows
            self.say("scoring")


def answer(asked: Asked, question: EvaluationAsked, app: str, told: Told) -> Evaluation:
    """Evaluate what was asked.

    Raises:
        SidearmError: it cannot be: the log, the weights, a candidate.
    """
    told.say("reading")
    check_asked(question)
    read, by_name = cache(lambda: read_weights(asked.weights, app)), weights_by_name(asked.weights, app)
    candidates = [candidate_of(name, read, by_name) for name in question.candidates]
    against = "" if question.against == "logged" else question.against
    options = Options(
        model=ModelSettings(asked.settings.keys), by=question.by, against=against, memory_limit=_MEMORY
    )
    window = Window(asked.since, asked.until)
    told.of(_rows(asked.log, window, options) * len(candidates))
    return evaluate(asked.log, candidates, window, options, told.advance)


def _rows(log: Path, window: Window, options: Options) -> int:
    """Of the window: as many as are scored, or a few more."""
    counted = load(log, window, options).connection.execute(f"SELECT count(*) FROM {VIEW}").fetchone()  # noqa: S608 - our own name
    return int(counted[0]) if counted else 0


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """While the block runs no other evaluation of this application does.

    Raises:
        BadInput: another one runs.
    """
    with (folder / LOCK).open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadInput("another evaluation runs: wait for it, or cancel it") from None
        file.truncate(0)
        file.write(f"{name} {os.getpid()}".encode())
        file.flush()
        yield


def run(app: Path, data: Path, name: str, environ: Mapping[str, str], now: dt.datetime) -> int:
    """Answer the question of that name; 0 when there is an answer."""
    days = dt.timedelta(days=1)
    asked = asked_by(app, data, environ, now, now - days, now)
    place = asked.folder / FOLDER / name
    told = Told(place / PROGRESS, lambda: time.time_ns() // 1_000_000)
    try:
        with alone(place.parent, name):
            _on_sigterm(told)
            question = msgspec.json.decode((place / ASKED).read_bytes(), type=EvaluationAsked)
            asked = asked._replace(since=now - days * question.days)
            found = answer(asked, question, asked.folder.name, told)
            told.say("writing")
            write_whole(place / PAGE, to_html(found).encode())
            write_whole(place / ANSWER, to_json(found))
            told.say("done", in_one_line(found, asked.day, place / ANSWER))
    except (SidearmError, msgspec.MsgspecError, OSError, MemoryError) as error:
        told.say("failed", str(error).replace(asked.weights, without_password(asked.weights)))
        return _FAILED
    return 0


def _on_sigterm(told: Told) -> None:
    """Say so and be gone, wherever it is: half an answer is nowhere yet."""

    def end(number: int, frame: object) -> NoReturn:
        told.say("cancelled")
        os._exit(0)

    signal.signal(signal.SIGTERM, end)


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Answer one question."""
    parser = argparse.ArgumentParser(prog="python -m offline_eval.apart", description=__doc__)
    parser.add_argument("parent", type=int, help="process id of whoever starts it: it ends with that")
    parser.add_argument("--app", type=Path, required=True, help="folder that holds app.toml")
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument("--name", required=True, help="of the question's folder")
    chosen = parser.parse_args(argv)
    tie_to(chosen.parent)
    os.nice(_NICENESS)
    return run(chosen.app, chosen.data, chosen.name, environ, dt.datetime.now(dt.UTC))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
