"""A loop with something on its way is kept awake, for a while; with nothing, it sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from decision_service.busy_wait import BusyWait


class Loop:
    """Says when it was to be awake."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.soon: list[tuple[Callable[..., None], tuple[object, ...]]] = []

    def time(self) -> float:
        return self.now_s

    def call_soon(self, call: Callable[..., None], *args: object) -> None:
        self.soon.append((call, args))

    def turn(self) -> int:
        """One turn; how much is to be called in the next one."""
        now, self.soon = self.soon, []
        for call, args in now:
            call(*args)
        return len(self.soon)


def of(loop: Loop, most_s: float = 1.0) -> BusyWait:
    return BusyWait(most_s, lambda: cast(asyncio.AbstractEventLoop, loop))


def test_it_is_awake_while_something_is_on_its_way():
    """And no longer; however many there are, it is one call a turn."""
    loop = Loop()
    busy = of(loop)
    with busy:
        assert [loop.turn() for _ in range(3)] == [1, 1, 1]
        with busy:
            assert loop.turn() == 1
        assert loop.turn() == 1
    assert loop.turn() == 0
    with busy:
        assert loop.turn() == 1


def test_one_who_began_in_the_last_turn_of_another_is_waited_for():
    """The call that is scheduled still serves him."""
    loop = Loop()
    busy = of(loop)
    with busy:
        loop.turn()
    with busy:
        assert [loop.turn() for _ in range(2)] == [1, 1]
    assert loop.turn() == 0


def test_whoever_is_away_for_long_is_slept_for():
    """Until the next one begins."""
    loop = Loop()
    busy = of(loop)
    with busy:
        loop.now_s = 0.9
        assert loop.turn() == 1
        loop.now_s = 1.0
        assert loop.turn() == 0
        with busy:
            assert loop.turn() == 1
            loop.now_s = 2.5
            assert loop.turn() == 0


def test_what_failed_is_over():
    """No error keeps a core busy for ever."""
    loop = Loop()
    busy = of(loop)
    with pytest.raises(ValueError, match="no"), busy:
        raise ValueError("no")
    assert loop.turn() == 0


def test_0_leaves_the_loop_alone():
    """As the setting says."""
    loop = Loop()
    with of(loop, 0.0):
        assert loop.turn() == 0
