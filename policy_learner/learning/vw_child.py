"""The learner's end of the process that runs VW: starts it, talks to it, notices when it is dead or hangs."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from policy_learner.errors import LearnerError
from policy_learner.learning.vw_wire import LENGTH

COMMAND = (sys.executable, "-m", "policy_learner.vw_process")
_SLICE_S = 1.0
_READ_BYTES = 1 << 20


class ChildDied(LearnerError):
    """The process ended, or was ended because it hung."""


class SharedWeights:
    """Memory that this process and its child see, of ``2 ** bits`` float32."""

    def __init__(self, bits: int) -> None:
        self.descriptor = _nameless_file()
        weakref.finalize(self, os.close, self.descriptor)
        os.ftruncate(self.descriptor, 4 << bits)
        self._memory = mmap.mmap(self.descriptor, 0)

    def copy(self) -> npt.NDArray[np.float32]:
        """What the child has put there."""
        return np.frombuffer(self._memory, np.float32).copy()


class VwChild:
    """One process, from its start to its end.

    Args:
        memory: where it puts weights.
        command: starts it.
    """

    def __init__(self, memory: SharedWeights, command: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = (theirs.fileno(), memory.descriptor)
            arguments = [*command, *map(str, descriptors), str(os.getpid())]
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                arguments, pass_fds=descriptors, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        ours.setblocking(False)
        self._socket, self._unsent, self._read = ours, bytearray(), bytearray()
        self._poll = select.poll()
        self.close = weakref.finalize(self, _end, self._process, ours)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def look(self) -> None:
        """See whether it is there.

        Raises:
            ChildDied: it is not.
        """
        if self._process.poll() is not None:
            raise ChildDied(self._how_it_ended())

    def send(self, data: bytes) -> None:
        """Hand over as much as can be without waiting; the rest goes with the next call of anything here."""
        self._unsent += data
        self._flush()

    def receive(self, patience_s: float) -> bytes:
        """The next answer.

        Args:
            patience_s: how long it may take without a byte; then the process hangs, and is killed.

        Raises:
            ChildDied: none will come.
        """
        waited_s = 0.0
        while not self._is_whole():
            # Counted in waits, not by the clock: a machine that stood still does not make its child hang.
            if self._wait(min(_SLICE_S, patience_s)):
                waited_s = 0.0
            elif (waited_s := waited_s + _SLICE_S) >= patience_s:
                self.close()
                raise ChildDied(f"gave no answer for {patience_s:g} s")
        (size,) = LENGTH.unpack_from(self._read)
        message = bytes(self._read[LENGTH.size : LENGTH.size + size])
        del self._read[: LENGTH.size + size]
        return message

    def _is_whole(self) -> bool:
        head = LENGTH.size
        return len(self._read) >= head and len(self._read) >= head + LENGTH.unpack_from(self._read)[0]

    def _wait(self, seconds: float) -> bool:
        """Whether something moved within a while."""
        self._poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        events = self._poll.poll(seconds * 1000)
        if not events:
            return False
        if events[0][1] & ~select.POLLOUT:
            self._take()
        self._flush()
        return True

    def _take(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_SLICE_S)
            raise ChildDied(self._how_it_ended())
        self._read += data

    def _flush(self) -> None:
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return
            except ConnectionError:  # it is dead; whoever waits for an answer will hear of it
                self._unsent.clear()
                return
            del self._unsent[:sent]

    def _how_it_ended(self) -> str:
        code = self._process.returncode
        if code is None:
            return "hung up"
        known = -code in set(signal.Signals)
        return f"was ended by {signal.Signals(-code).name}" if known else f"ended with code {code}"


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    """SIGKILL: it holds nothing that is not had elsewhere, and may be stopped or out of its senses."""
    connection.close()
    process.kill()
    process.wait()


def _nameless_file() -> int:
    if sys.platform == "linux":
        return os.memfd_create("sidearm-weights")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
