"""Child processes that never outlive us: started tethered, logged to a file, stopped by pid."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from decision_service.cli import tether

Child = subprocess.Popen[bytes]


def start_child(
    command: Sequence[str],
    log: Path,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    keep_open: Sequence[int] = (),
) -> Child:
    """Start ``command``; both its outputs are appended to ``log``.

    It has a session of its own, so that Ctrl-C reaches only us and we stop our children in order.

    Args:
        command: program and arguments.
        log: created if it does not exist.
        environ: its environment; ours by default.
        folder: its working folder; ours by default.
        keep_open: file descriptors that it inherits.
    """
    # -I -S: neither the environment nor site-packages, for 20 ms instead of 100.
    tethered = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command]
    with log.open("ab") as output:

        def start() -> Child:
            return subprocess.Popen(  # noqa: S603 - our own programs
                tethered,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                cwd=folder,
                pass_fds=keep_open,
                start_new_session=True,
            )

        return _lasting_thread().submit(start).result()


def stop_child(child: Child, patience_s: float = 10.0) -> int:
    """Ask ``child`` to end (SIGTERM), wait, kill it if it does not; its exit code, negative for a signal."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        return child.wait(patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, indented."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "    (no log was written)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (the log is empty)"


@functools.cache
def _lasting_thread() -> ThreadPoolExecutor:
    # The parent-death signal comes when the *thread* that forked ends: it must live as long as we do.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="children")
