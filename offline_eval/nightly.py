"""The schedule of evaluations: ``python -m offline_eval.nightly --app FOLDER --data DATA``, part of ``up``.

A night is done when its evaluation lies under its day, so that whoever is started later makes up for it, and
nobody does it twice. One that ends badly is tried again, a few times; then the next night comes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from offline_eval.filing import FILE
from offline_eval.settings import evaluation_settings
from sidecar.contracts.application import load_application
from sidecar.contracts.daily import due_before
from sidecar.contracts.errors import BadApplication, BadSettings
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.process_log import last_word, log_as

ATTEMPTS = 3
RETRY_MS = 600_000
_LOOK_S = 10.0
_BAD_SETTINGS = 2

log = logging.getLogger("sidearm.evaluation")


class Nightly:
    """Has the log evaluated when it is time.

    Args:
        at: time of the day, UTC.
        folder: of the application's evaluations.
        evaluate: evaluates the days before a moment; its exit code.
        now_ms: the machine's clock.
    """

    def __init__(
        self, at: str, folder: Path, evaluate: Callable[[dt.datetime], int], now_ms: Callable[[], int]
    ) -> None:
        self._at, self._folder, self._evaluate, self._now_ms = at, folder, evaluate, now_ms
        self._night = dt.date.min
        self._attempts = self._next_ms = 0

    def look(self) -> None:
        """Have it done if it is time, and was not done."""
        now_ms = self._now_ms()
        due = dt.datetime.fromtimestamp(due_before(self._at, now_ms) / 1000, dt.UTC)
        if due.date() != self._night:
            self._night, self._attempts, self._next_ms = due.date(), 0, 0
        yesterday = due.date() - dt.timedelta(days=1)
        if self._attempts == ATTEMPTS or now_ms < self._next_ms:
            return
        if (self._folder / yesterday.isoformat() / FILE).exists():
            return
        self._attempts += 1
        code = self._evaluate(due.replace(hour=0, minute=0))
        if code:
            more = "tried again in ten minutes" if self._attempts < ATTEMPTS else "given up until tomorrow"
            log.error("evaluation of %s ended with code %s; what it said stands above; %s",
                      yesterday, code, more)  # fmt: skip
        self._next_ms = self._now_ms() + RETRY_MS


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Wait for night after night; only a signal ends it. Exit code 2: not startable as configured."""
    parser = argparse.ArgumentParser(prog="python -m offline_eval.nightly", description=__doc__)
    parser.add_argument("--app", default=environ.get("SIDEARM_APP"), help="folder that holds app.toml")
    parser.add_argument("--data", default=environ.get("SIDEARM_DATA", "data"), help="data folder")
    chosen = parser.parse_args(argv)
    try:
        log_as(environ)
        nightly = _nightly(chosen.app or "", chosen.data, environ)
    except (BadApplication, BadSettings) as error:
        last_word("sidearm evaluation", error)
        return _BAD_SETTINGS
    while True:
        nightly.look()
        time.sleep(_LOOK_S)


def _nightly(app: str, data: str, environ: Mapping[str, str]) -> Nightly:
    application = load_application(Path(app))
    at = evaluation_settings(application.evaluation, environ).at
    if not at:
        raise BadSettings("[evaluation] at: name a time of the day, UTC, such as 04:00")
    command = [sys.executable, "-m", "offline_eval.behind", str(os.getpid()), "--app", app, "--data", data]
    decisions = DataFolder(Path(data)).log(application.name) / "decisions"

    def evaluate(until: dt.datetime) -> int:
        if not decisions.is_dir():
            log.info("nothing to evaluate: no decision was logged yet")
            return 0
        whole = [*command, "--quiet", "--until", until.isoformat()]
        return subprocess.run(whole, stdin=subprocess.DEVNULL).returncode  # noqa: S603 - our own

    log.info("every day at %s UTC the log is evaluated", at)
    folder = DataFolder(Path(data)).evaluations(application.name)
    return Nightly(at, folder, evaluate, lambda: time.time_ns() // 1_000_000)


if __name__ == "__main__":
    sys.exit(main())
