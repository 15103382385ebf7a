"""One process of the simulation: real code in a thread of its own, of which only one ever runs.

The scheduler lets an actor go on for some steps. A step is anything that could be the last thing that a
process does: a command sent to the store or answered by it, a moment named in ``failpoints``, a rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Crash(BaseException):
    """kill -9: no handler of the product may see it as anything else."""


class Actor:
    def __init__(self, work: Callable[[Actor], None]):
        self.ended = self.killed = self.stopping = False
        self.failure: BaseException | None = None
        self._work, self._budget = work, 0
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    def run(self, budget: int) -> None:
        """Let it go on for so many steps, or until it rests or ends. Called by the scheduler."""
        if self.ended or self.killed:
            return
        self._budget = budget
        self._hand_to_actor()

    def kill(self) -> None:
        """It never takes another step. Its thread waits for :meth:`bury`, so that nothing is tidied up."""
        self.killed = True

    def bury(self) -> None:
        """The seed is over: end the thread."""
        if not self.ended:
            self.killed = True
            self._hand_to_actor()
        self._thread.join()

    def passing(self, pause: bool = False) -> None:
        """A step is over. Called by the actor."""
        if self.killed:
            raise Crash
        self._budget -= 1
        if pause or self._budget <= 0:
            self.rest()

    def rest(self) -> None:
        """Nothing to do until the scheduler says so. Called by the actor."""
        if not self.killed:
            self._back.release()
            self._go.acquire()
        if self.killed:
            raise Crash

    # What the learner's loop asks of an event that tells it to stop.
    def is_set(self) -> bool:
        return self.stopping

    def wait(self, seconds: float) -> bool:
        del seconds
        if not self.stopping:
            self.rest()
        return self.stopping

    def _hand_to_actor(self) -> None:
        self._go.release()
        self._back.acquire()

    def _main(self) -> None:
        self._go.acquire()
        try:
            if not self.killed:
                self._work(self)
        except Crash:
            pass
        except BaseException as error:  # judged by the scheduler
            self.failure = error
        self.ended = True
        self._back.release()
