"""One process of the simulation: real code on a stack of its own, of which only one ever runs.

The scheduler lets an actor go on for some steps. A step is anything that could be the last thing that a
process does: a command sent to the store or answered by it, a moment named in ``failpoints``, a rest.
"""

from __future__ import annotations

from collections.abc import Callable

from greenlet import getcurrent, greenlet


class Crash(BaseException):
    """kill -9: no handler of the product may see it as anything else."""


class Actor:
    def __init__(self, work: Callable[[Actor], None]):
        self.ended = self.killed = self.stopping = False
        self.failure: BaseException | None = None
        self._work, self._budget = work, 0
        self._stack, self._scheduler = greenlet(self._main), getcurrent()

    def run(self, budget: int) -> None:
        """Let it go on for so many steps, or until it rests or ends. Called by the scheduler."""
        if self.ended or self.killed:
            return
        self._budget = budget
        self._hand_to_actor()

    def kill(self) -> None:
        """It never takes another step. Its stack waits for :meth:`bury`, so that nothing is tidied up."""
        self.killed = True

    def bury(self) -> None:
        """The seed is over: unwind the stack."""
        if not self.ended:
            self.killed = True
            self._hand_to_actor()

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
            self._scheduler.switch()
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
        self._scheduler = getcurrent()
        self._stack.switch()

    def _main(self) -> None:
        try:
            if not self.killed:
                self._work(self)
        except Crash:
            pass
        except BaseException as error:  # judged by the scheduler
            self.failure = error
        self.ended = True
        self._stack.parent = self._scheduler  # who goes on
