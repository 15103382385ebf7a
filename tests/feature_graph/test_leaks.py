"""Nothing is kept: not tasks, not errors with their frames, not memory. (51) of the list of edge cases."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
import weakref
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypedDict

import pytest

from feature_graph import Graph, batch, each, fetch, first_of, lookup
from tests.feature_graph.virtual_time import run


class Given(TypedDict):
    x: int


class Value:
    """Something that a weak reference can see go."""


@fetch(timeout=30)
async def makes(x: int) -> Value:
    await asyncio.sleep(0)
    return Value()


@fetch(timeout=30, fallback=0)
async def fails(makes: Value) -> int:
    await asyncio.sleep(0)
    raise ValueError(makes)


@batch(timeout=30)
async def rows(keys: Sequence[int]) -> Mapping[int, int]:
    await asyncio.sleep(0)
    return {key: key for key in keys if key}


async def late(x: int) -> int:
    await asyncio.sleep(3600)
    return x


def elements(makes: Value) -> list[int]:
    return [1, 2, 3]


def sums(found: list[int], row: int, fails: int) -> int:
    return sum(found) + row + fails


GRAPH = Graph(
    Given,
    makes,
    fails,
    late,
    elements,
    sums,
    found=each(lookup(rows, key="key"), over="elements"),
    row=lookup(rows, key="x"),
    missing=lookup(rows, key="fails"),
    best=first_of("missing", "sums"),
)


@pytest.mark.parametrize("goals", ["makes", "fails", "best", "missing", "late", "best,late"])
def test_a_resolution_that_is_let_go_takes_its_values_with_it(goals):
    """Without the garbage collector: no cycle ties a value to a run, a task or a traceback."""

    async def main():
        found = await GRAPH.resolve([*goals.split(","), "makes"], given={"x": 1}, deadline=0.5)
        value = weakref.ref(found["makes"])
        await asyncio.sleep(0)
        gc.collect()
        gc.disable()
        del found
        return value

    try:
        assert asyncio.run(main())() is None
    finally:
        gc.enable()


@pytest.mark.slow
def test_ten_thousand_runs_leave_the_memory_as_it_was():
    """(51) A hundred at once, a hundred times over; what grows by a byte a run would show.

    In each of three stretches: the interpreter's own tables grow by a step now and then.
    """

    async def hundred():
        await asyncio.gather(*(GRAPH.resolve("best", given={"x": 1}, deadline=30) for _ in range(100)))

    async def held_after(hundreds):
        for _ in range(hundreds):
            await hundred()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    async def main():
        tracemalloc.start()
        await held_after(9)
        held = [await held_after(1)]  # the last hundred is held by its own task
        held += [await held_after(30) for _ in range(3)]
        tracemalloc.stop()
        return [after - before for before, after in pairwise(held)], len(asyncio.all_tasks())

    grown_bytes, tasks = asyncio.run(main())
    assert tasks == 1
    assert min(grown_bytes) < 3_000


@pytest.mark.parametrize("together", [False, True])
def test_lookups_leave_nothing_for_the_garbage_collector(together: bool):
    """No cycle between a run and what it gathered: a service looks keys up a thousand times a second."""

    def more(row: int) -> list[int]:
        return [row, row + 1]

    graph = Graph(
        Given, more, row=lookup(rows, key="x"), each_row=each(lookup(rows, key="keys"), over="more")
    )
    goals = "row" if together else ("row", "each_row")

    async def main() -> int:
        async def runs(count: int) -> None:
            for x in range(1, count):
                if together:
                    await graph.resolve_all(goals, given=[{"x": x}, {"x": x + 1}], deadlines=[9.0, 9.0])
                else:
                    await graph.resolve(goals, given={"x": x}, deadline=9.0)

        await runs(20)
        gc.collect()
        gc.disable()
        try:
            await runs(100)
            return gc.collect()
        finally:
            gc.enable()

    assert asyncio.run(main()) < 100


@pytest.mark.parametrize("trouble", ["derived", "missing", "late", "away", "of a key"])
def test_trouble_side_by_side_leaves_nothing_for_the_garbage_collector(trouble: str):
    """An error knows the frames that it went through; what they know must not know the error."""

    @batch(timeout=0.05, fallback=1)
    async def found(keys: Sequence[int]) -> dict[int, int]:
        if trouble == "late":
            await asyncio.sleep(0.1)
        if trouble == "away":
            raise ConnectionError("away")
        if trouble == "of a key":
            raise ValueError("of a key")
        return {key: key for key in keys if key != 1 or trouble != "missing"}

    def more(found: int, x: int) -> int:
        if trouble == "derived" and x == 1:
            raise ValueError("derived")
        return found

    graph = Graph(Given, more, found=lookup(found, key="x"))

    async def ask() -> None:
        await graph.resolve_all("more", given=[{"x": 0}, {"x": 1}], deadlines=[None, None])

    async def main() -> int:
        for _ in range(3):
            await ask()
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                await ask()
            return gc.collect()
        finally:
            gc.enable()

    assert run(main) < 50
