"""Several processes that do the same on one listening socket, where one core is not enough.

The socket is bound once and inherited, so the kernel hands each connection to whoever accepts first, and none
is lost while one of them ends. One that ends by itself ends all: whoever started them learns of it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

log = logging.getLogger("sidearm.crew")

_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_crew(count: int, listening: socket.socket, work: Callable[[int], int]) -> int:
    """Run ``work(place)`` in ``count`` processes until they end; the exit code: the first that is not 0.

    SIGTERM and SIGINT are handed on to all of them. One of them alone runs in this very process. To be called
    before any thread or event loop was made.

    Args:
        count: how many.
        listening: what they accept from; this process closes its own end of it.
        work: what each does; ``place`` counts from 0.
    """
    if count == 1:
        return work(0)
    ours, members, told = os.getpid(), set[int](), list[int]()

    def on_signal(number: int, _: object) -> None:
        told.append(number)
        _stop(members)

    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # none is lost while they start
    for number in _SIGNALS:
        signal.signal(number, on_signal)
    for place in range(count):
        members.add(_member(place, ours, work))
    listening.close()  # or connections would be queued where nobody accepts any more
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return _wait_for(members, told)


def _wait_for(members: set[int], told: Sequence[int]) -> int:
    """See all of them end, the others with the first one that does."""
    code = 0
    while members:
        pid, status = os.wait()
        members.discard(pid)
        ended = os.waitstatus_to_exitcode(status)
        if ended == -signal.SIGTERM and told:  # it had not come to listen to signals yet
            ended = 0
        if ended:
            log.error("worker %s ended with code %s: all of them end", pid, ended)
        code = code or ended
        _stop(members)
    return code


def _member(place: int, parent: int, work: Callable[[int], int]) -> int:
    """Start one; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if sys.platform == "linux":  # no orphan stays
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            code = work(place)
    except Exception:
        log.exception("worker %s failed", place)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _stop(members: set[int]) -> None:
    """SIGTERM, whatever we were told: a second SIGINT would cut requests short."""
    for pid in tuple(members):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
