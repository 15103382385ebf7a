"""B8: 32 fetches that share a source make one call a level, whatever lies between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from benchmarks.feature_graph.g32 import GOALS, LEVELS, NAMES, SIZE, WIDTH, parents
from benchmarks.figures import Figure
from feature_graph import Graph, batch, lookup

Given = TypedDict("Given", {f"x{place}": int for place in range(WIDTH)})  # type: ignore[misc]
GIVEN = {f"x{place}": place for place in range(WIDTH)}
"""A key each, so that no two look-ups of a level are one."""
BETWEEN = {"": (), ".derived_between": range(SIZE), ".some_between": range(0, SIZE, 2)}
"""Which look-ups take a derived key: a window of loop ticks would split the calls of the third."""


async def b8() -> list[Figure]:
    """Calls made, beside the four that the shape needs."""
    return [
        Figure(f"B8{name}", await _calls(set(derived)), "calls", LEVELS, "a call a level", at_most=1.0)
        for name, derived in BETWEEN.items()
    ]


async def _calls(with_derived_key: set[int]) -> int:
    asked: list[int] = []

    @batch(max=100)
    async def rows(keys: Sequence[int]) -> Mapping[int, int]:
        asked.append(len(keys))
        return {key: key + WIDTH for key in keys}

    nodes: dict[str, Any] = {}
    for k, name in enumerate(NAMES):
        needs = [NAMES[parent] for parent in parents(k)] or [f"x{k}"]
        key = needs[0]
        if k in with_derived_key:
            key = f"key{k}"
            nodes[key] = _key(k, needs)
        nodes[name] = lookup(rows, key=key)
    found = await Graph(Given, **nodes).resolve(GOALS, given=GIVEN)
    if len(found.values) != WIDTH or sum(asked) != SIZE:
        raise AssertionError(f"{sum(asked)} keys were asked for, of {SIZE}; the goals came out as {found!r}")
    return len(asked)


def _key(k: int, needs: list[str]) -> Any:  # noqa: ANN401 - a function written at run time
    scope: dict[str, Any] = {}
    exec(f"def key{k}({', '.join(f'{n}: int' for n in needs)}) -> int: return {needs[0]} * 100", scope)
    return scope[f"key{k}"]
