"""Several things at once, for callers who mostly have one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

T = TypeVar("T")


async def all_of(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What each comes to, none of them alive afterwards; a task each only where there are several."""
    if len(work) == 1:
        return [await work[0]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
    return [task.result() for task in tasks]


def in_order(groups: Iterable[Sequence[int]], found: Iterable[Sequence[T]]) -> list[T]:
    """What was found for each group of places, in the order of all places."""
    by_place = dict(zip(chain(*groups), chain(*found), strict=True))
    return [by_place[place] for place in sorted(by_place)]
