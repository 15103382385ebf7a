"""Concurrent callers share one call, nobody waits idle, and nobody's failure is another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from decision_service.batcher import Batcher


class Recorder:
    """Doubles numbers; notes each batch, and waits at a gate when there is one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate: asyncio.Event | None = None
        self.called = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.called.set()
        if self.gate is not None:
            await self.gate.wait()
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


async def test_callers_of_one_turn_share_one_call():
    """Ten requests that come together travel together, and each gets its own answer."""
    call = Recorder()
    batcher = Batcher(call, max_batch=64)

    answers = await asyncio.gather(*(batcher.ask(n) for n in range(10)))

    assert answers == [2 * n for n in range(10)]
    assert call.batches == [list(range(10))]


async def test_what_comes_during_a_call_makes_the_next_one():
    """The batch grows by itself with the time that a call takes."""
    call = Recorder()
    call.gate = asyncio.Event()
    batcher = Batcher(call, max_batch=64)
    first = asyncio.create_task(batcher.ask(1))
    await _turns()
    others = [asyncio.create_task(batcher.ask(n)) for n in (2, 3, 4)]
    await _turns()
    assert batcher.waiting == 3

    call.gate.set()

    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert call.batches == [[1], [2, 3, 4]]


async def test_no_batch_is_longer_than_the_limit():
    """A thundering herd is cut into calls of at most ``max_batch``."""
    call = Recorder()
    batcher = Batcher(call, max_batch=4)

    assert await asyncio.gather(*(batcher.ask(n) for n in range(10))) == [2 * n for n in range(10)]
    assert [len(batch) for batch in call.batches] == [4, 4, 2]


async def test_a_failed_call_fails_its_own_batch_only():
    """Every caller of the batch hears of the error; the next batch is served."""
    call = Recorder()
    batcher = Batcher(call, max_batch=64)

    answers = await asyncio.gather(batcher.ask(12), batcher.ask(13), return_exceptions=True)

    assert [type(answer) for answer in answers] == [ValueError, ValueError]
    assert await batcher.ask(14) == 28


async def test_a_caller_that_gives_up_leaves_the_others_alone():
    """A timeout is the caller's own; what it had queued is not sent for nobody."""
    call = Recorder()
    call.gate = asyncio.Event()
    batcher = Batcher(call, max_batch=64)
    first = asyncio.create_task(batcher.ask(1))
    await _turns()
    patient = asyncio.create_task(batcher.ask(3))

    with pytest.raises(TimeoutError):
        await batcher.ask(2, timeout_s=0.001)
    call.gate.set()

    assert await asyncio.gather(first, patient) == [2, 6]
    assert call.batches == [[1], [3]]


async def test_a_cancelled_caller_cancels_nobody_else():
    """A client that hangs up takes only itself away."""
    call = Recorder()
    call.gate = asyncio.Event()
    batcher = Batcher(call, max_batch=64)
    leaving, staying = asyncio.create_task(batcher.ask(1)), asyncio.create_task(batcher.ask(2))
    await _turns()

    leaving.cancel()
    call.gate.set()

    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_several_calls_may_be_under_way():
    """With two in flight the second does not wait for the first."""
    call = Recorder()
    call.gate = asyncio.Event()
    batcher = Batcher(call, max_batch=64, in_flight=2)
    first = asyncio.create_task(batcher.ask(1))
    await _turns()
    second = asyncio.create_task(batcher.ask(2))
    await _turns()

    assert call.batches == [[1], [2]]
    call.gate.set()
    assert await asyncio.gather(first, second) == [2, 4]


async def test_while_one_is_under_way_another_goes_when_it_is_worth_it():
    """Not before, however many places are free; and the first one's return takes whoever is there."""
    call = Recorder()
    call.gate = asyncio.Event()
    batcher = Batcher(call, max_batch=64, in_flight=4, worth=3)
    asked = []
    for n in range(6):
        asked.append(asyncio.create_task(batcher.ask(n)))
        await _turns()

    assert call.batches == [[0], [1, 2, 3]]
    call.gate.set()
    assert await asyncio.gather(*asked) == [0, 2, 4, 6, 8, 10]
    assert call.batches == [[0], [1, 2, 3], [4, 5]]


async def test_too_few_to_be_worth_it_wait_for_no_longer_than_patience():
    """Whoever is away for long holds up nobody else."""
    call = Recorder()
    call.gate = asyncio.Event()
    batcher = Batcher(call, max_batch=64, in_flight=2, worth=3, patience_s=0.001)
    first = asyncio.create_task(batcher.ask(1))
    await _turns()
    call.called.clear()
    second = asyncio.create_task(batcher.ask(2))
    async with asyncio.timeout(10.0):
        await call.called.wait()
    assert call.batches == [[1], [2]]
    call.gate.set()
    assert await asyncio.gather(first, second) == [2, 4]


async def test_a_call_that_answers_too_little_is_an_error_not_a_hang():
    """N questions in, N answers out, or everybody is told."""

    async def short(items: Sequence[int]) -> list[int]:
        return [0]

    batcher: Batcher[int, int] = Batcher(short, max_batch=8)

    answers = await asyncio.gather(batcher.ask(1), batcher.ask(2), return_exceptions=True)

    assert isinstance(answers[1], ValueError)


async def _turns() -> None:
    """Let whatever is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)
