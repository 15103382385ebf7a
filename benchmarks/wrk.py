"""The client of the benchmarks of the decision path: wrk, with the requests of ``wrk.lua``."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
SECONDS = 5


class WrkMissing(RuntimeError):
    """wrk is the client of this benchmark, and it is not on the PATH."""


class Run(NamedTuple):
    """What wrk saw in one run."""

    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    calls: int = 0


def need_wrk() -> None:
    """See that the client is here.

    Raises:
        WrkMissing: with how to get it.
    """
    if shutil.which("wrk") is None:
        raise WrkMissing("wrk is not on the PATH: `apt-get install wrk` (Debian) or `brew install wrk`")


def wrk(
    port: int,
    connections: int,
    key: str,
    seconds: int = SECONDS,
    script: str = "wrk.lua",
    arguments: Sequence[str] = (),
) -> Run:
    """One run of the client against ``port``; ``arguments``: more of them for the script."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / script)]
    command += [f"http://127.0.0.1:{port}", "--", f"{time.time_ns():x}", key, *arguments]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seen = json.loads(out.rpartition("JSON")[2])
    failed = seen["not_2xx"] + seen["broken"]
    return Run(
        seen["requests"] / seen["duration_s"], seen["p50_ms"], seen["p99_ms"], failed, seen["requests"]
    )
