"""How the learner or a helper of it is, for probes: ``python -m policy_learner.probe [live|ready] [who]``.

It reads what each of them writes to the store once a second. ``live`` fails when a loop has stood still for
so long that only a restart can help; a store that is away is no fault of anybody's here, and neither is the
last word of a process that is gone: whoever resumes may take long. ``ready`` fails whenever the work does not
go on, and says why in one line: the store, a disk, or nothing heard.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import redis

from policy_learner.status import Status, read
from sidecar.contracts import keys
from sidecar.contracts.application import load_application
from sidecar.contracts.errors import BadSettings, ContractError
from sidecar.contracts.scripts.working import decode_workers
from sidecar.contracts.store import StoreError, connect
from sidecar.contracts.store_address import named_address

__all__ = ["LATE_AFTER_MS", "STUCK_AFTER_MS", "Status", "heard_of", "main", "running_s"]

STUCK_AFTER_MS = 120_000
"""Longer than any one step: rewriting a checkpoint, resuming from one, a slow store."""
LATE_AFTER_MS = 15_000
"""Each says how it is once a second (``status_every_s``)."""
_STARTED = 19
"""Place of the start, in ticks since the machine's, among the fields behind the process's name (proc(5))."""


class Heard(NamedTuple):
    """The last that was heard of somebody."""

    age_ms: int
    """By the store's clock."""
    error: str
    """What it said was wrong; empty while all is well."""
    pid: int


class _Said(NamedTuple):
    """The same with the moment, by the store's clock."""

    at_ms: int
    error: str
    pid: int


def heard_of(client: redis.Redis, app: str, who: str, host: str) -> Heard | None:
    """The learner, or the helper of that kind on this host; None when nothing was ever heard.

    Raises:
        StoreError, OSError: the store does not answer.
    """
    said = _learner(client, app) if who == "learner" else _helper(client, app, f"{who}-{host}-")
    seconds, micros = client.time()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    return None if said is None else Heard(now_ms - said.at_ms, said.error, said.pid)


def running_s(pid: int) -> float | None:
    """How long a process of this container has been running, in seconds; None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError):
        return None
    return uptime_s - int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK")


def _learner(client: redis.Redis, app: str) -> _Said | None:
    status = read(client, app)
    return None if status is None else _Said(status.at_ms, status.last_error, status.pid)


def _helper(client: redis.Redis, app: str, prefix: str) -> _Said | None:
    """The newest word, since one that was killed on this host may still be on the list."""
    said = cast("dict[bytes, bytes]", client.hgetall(keys.workers(app)))
    seen = decode_workers(said)
    found = (_Said(s.at_ms, s.worker.error, s.worker.pid) for s in seen if s.name.startswith(prefix))
    return max(found, default=None)


def main(
    environ: Mapping[str, str],
    argv: Sequence[str] = (),
    age_of: Callable[[int], float | None] = running_s,
) -> int:
    """0 all is well as far as was asked, 1 it is not, 2 not configured.

    Args:
        environ: names the application and the store.
        argv: what is asked, and of whom.
        age_of: of a process; seconds.
    """
    parser = argparse.ArgumentParser(prog="python -m policy_learner.probe", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("live", "ready"), default="live")
    parser.add_argument("who", nargs="?", choices=("learner", "joiner", "archiver"), default="learner")
    asked = parser.parse_args(argv)
    try:
        application = load_application(Path(environ.get("SIDEARM_APP", "")))
        with connect(_address(environ)) as client:
            heard = heard_of(client, application.name, asked.who, socket.gethostname())
    except (StoreError, OSError) as error:
        return _say(f"the store does not answer: {error}", int(asked.what == "ready"))
    except ContractError as error:
        return _say(f"SIDEARM_APP, and REDIS_URL or REDIS_URL_FILE, must be set: {error}", 2)
    complaint = _stuck(asked.who, heard, age_of) if asked.what == "live" else _unready(asked.who, heard)
    return _say(complaint, 1) if complaint else 0


def _address(environ: Mapping[str, str]) -> str:
    if not (url := named_address(environ)):
        raise BadSettings("no address of a store")
    return url


def _stuck(who: str, heard: Heard | None, age_of: Callable[[int], float | None]) -> str:
    if heard is None or heard.age_ms <= STUCK_AFTER_MS:
        return ""
    runs_s = age_of(heard.pid)
    if runs_s is None or runs_s * 1000 < heard.age_ms:  # who said it is gone; another one has begun since
        return ""
    return f"the {who}'s last sign of life is {heard.age_ms / 1000:.0f} s old"


def _unready(who: str, heard: Heard | None) -> str:
    if heard is None:
        return f"nothing was heard of the {who} yet"
    if heard.age_ms > LATE_AFTER_MS:
        return f"the {who}'s last word is {heard.age_ms / 1000:.0f} s old"
    return heard.error


def _say(complaint: str, code: int) -> int:
    print(complaint, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(os.environ, sys.argv[1:]))
