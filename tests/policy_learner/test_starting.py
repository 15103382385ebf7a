"""The word to stop reaches a process whatever its main thread is doing."""

from __future__ import annotations

import signal
import subprocess
import sys

CHILD = """
import os, signal
from policy_learner.starting import told_to_stop
stop = told_to_stop()
with stop._cond:  # as in the middle of a wait, where the lock is held
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here", flush=True)
print(stop.wait(20), flush=True)
"""


def test_a_signal_in_the_middle_of_a_wait_is_no_deadlock():
    """The handler must not want the lock that the thread below it holds."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=60, check=False
    )
    assert (child.returncode, child.stdout.split("\n")[:2]) == (0, ["still here", "True"]), child.stderr


def test_both_signals_are_heard():
    """SIGTERM of a supervisor, SIGINT of a keyboard."""
    for number in (signal.SIGTERM, signal.SIGINT):
        text = CHILD.replace("SIGTERM", number.name)
        done = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
