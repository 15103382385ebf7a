"""Run a command that dies with its parent: ``python tether.py PARENT_PID COMMAND ARGUMENTS…``.

A file of its own, run by path: the kernel's parent-death signal must be asked for in the child between fork
and exec, where Python code (``preexec_fn``) can deadlock when the parent has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent_pid: int, command: list[str]) -> None:
    """Tie this process to its parent, then become ``command``."""
    if sys.platform == "linux":
        # SIGKILL cannot be missed, and all our processes are built to survive it without loss.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the line above: no signal would ever come
        sys.exit(f"{command[0]}: not started, process {parent_pid} has ended")
    try:
        os.execvp(command[0], command)  # noqa: S606 - that is its purpose
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
