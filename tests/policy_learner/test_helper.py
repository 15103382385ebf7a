"""What joiner and archiver have in common: no failure of the store ends them."""

from __future__ import annotations

import pytest
import redis

from policy_learner.join import helper
from policy_learner.join.helper import HelperDeps
from policy_learner.settings import LearnerSettings
from sidecar.contracts.scripts.working import Worker
from tests.policy_learner.world import World


class Turns:
    """Told to stop after some turns; nobody waits."""

    def __init__(self, turns: int) -> None:
        self._left = turns

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0

    def wait(self, seconds: float) -> None:
        """At once."""


class Work:
    """Counts its steps; the store goes away while it says how it is, or while it works."""

    def __init__(self, fails_in: str) -> None:
        self.error, self.steps, self._fails_in = "", 0, fails_in

    def step(self) -> int:
        self.steps += 1
        self._fail("step")
        return 0

    def stop(self) -> None:
        """Nothing to give back."""

    def report(self) -> Worker:
        self._fail("report")
        return Worker(kind="joiner", pid=1)

    def _fail(self, where: str) -> None:
        if where == self._fails_in and self.steps == 1:
            raise redis.ConnectionError("Connection closed by server.")


@pytest.mark.parametrize("fails_in", ["step", "report"])
def test_it_goes_on_when_the_store_dies(store, data_folder, fails_in):
    """Whatever it was doing; a joiner whose store died between a step and its word ended with a traceback."""
    world = World(store, data_folder, 1, LearnerSettings())
    deps = HelperDeps(
        world.application, world.settings, data_folder, world.scripts, lambda: world.now_s, "one"
    )
    work = Work(fails_in)
    world.now_s += 3600.0

    def opened(_: HelperDeps) -> Work:
        world.now_s += 3600.0  # a word is due at once
        return work

    helper.run(deps, opened, Turns(3))
    assert work.steps == 3
