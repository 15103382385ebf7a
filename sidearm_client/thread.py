"""A thread that tells what waits. It begins with the first that does, and ends when nothing does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sidearm_client.backlog import Backlog
from sidearm_client.errors import Refused, Unavailable
from sidearm_client.retrying import Retries
from sidearm_client.settings import Batching
from sidearm_client.wire import Call, Told

_PAUSES = Retries(first_s=0.5, longest_s=10.0)
"""Between attempts while the service is away; there is no last one."""
_HURRIED_S = 0.2
"""The same while somebody waits for it."""
_IDLE_S = 5.0


class ThreadSender:
    """Tells what is in ``backlog`` by ``exchange``, which answers or raises."""

    def __init__(self, backlog: Backlog, batching: Batching, exchange: Callable[[Call], Any]) -> None:
        self._backlog, self._batching, self._exchange = backlog, batching, exchange
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._hurry = 0
        self._failed = 0
        self._ended = False

    def add(self, told: Told) -> bool:
        """Take one more; False when too much waits already."""
        with self._changed:
            taken = not self._ended and self._backlog.add(told)
            if taken and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sidearm-client", daemon=True)
                self._thread.start()
            elif len(self._backlog) == 1 or self._backlog.full:
                self._changed.notify_all()
        return taken

    def flush(self, timeout_s: float) -> bool:
        """Tell all of it now; whether that was done within ``timeout_s`` seconds."""
        with self._changed:
            self._hurry, self._failed = self._hurry + 1, 0
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._backlog, timeout_s)
            finally:
                self._hurry -= 1

    def close(self, timeout_s: float) -> None:
        """Tell what can be told within ``timeout_s`` seconds; the rest is lost."""
        self.flush(timeout_s)
        with self._changed:
            self._ended = True
            self._backlog.give_up(TimeoutError(f"the client was closed, and {timeout_s:g} s were not enough"))
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _run(self) -> None:
        while batch := self._next():
            self._tell(batch)

    def _next(self) -> list[Told]:
        """What to tell next, when it is time for it; nothing: the thread ends."""
        with self._changed:
            if self._changed.wait_for(lambda: self._backlog or self._ended, _IDLE_S):
                self._changed.wait_for(self._due, self._pause_s())
            batch = [] if self._ended else self._backlog.first()
            if not batch:
                self._thread = None
            return batch

    def _pause_s(self) -> float:
        if not self._failed:
            return self._batching.wait_s
        longest_s = _HURRIED_S if self._hurry else _PAUSES.bound_s(self._failed - 1)
        return longest_s * random.random()  # noqa: S311  # jitter is no secret

    def _due(self) -> bool:
        return self._ended or (not self._failed and (bool(self._hurry) or self._backlog.full))

    def _tell(self, batch: list[Told]) -> None:
        """Of what fails for a while nothing is lost."""
        try:
            self._converse(batch)
        except Unavailable:
            self._failed += 1
            return
        except Exception as error:  # an odd answer must not stop all that comes after it
            self._backlog.lose(batch, error, "lost")
        with self._changed:
            self._failed = 0
            self._backlog.done(batch)
            self._changed.notify_all()

    def _converse(self, batch: list[Told]) -> None:
        telling = self._backlog.telling(batch)
        said: Any = None
        with suppress(StopIteration):
            while True:
                call = telling.send(said)
                try:
                    said = self._exchange(call)
                except Refused as refusal:
                    said = refusal
