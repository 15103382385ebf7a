"""Runs side by side that do the same thing a little later than each could, and once instead of twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypedDict

from feature_graph import Graph, batch, branch, lookup
from feature_graph.columns import JOIN_S
from feature_graph.node import MISSING
from tests.feature_graph.virtual_time import run

Asked = list[tuple[str, float, list[int]]]
"""What was called, when, in ms since the start, and with which keys or value."""


class Given(TypedDict):
    x: int


def shop(asked: Asked, customers_take_s: float = 0.001, timeout_s: float = 1.0) -> Graph:
    """Customers have a profile that must be fetched; campaigns go by profile."""

    def tell(name: str, keys: Sequence[int]) -> None:
        asked.append((name, _now_ms(), list(keys)))

    @batch(timeout=timeout_s, fallback=-1)
    async def customers(keys: Sequence[int]) -> Mapping[int, int]:
        tell("customers", keys)
        await asyncio.sleep(customers_take_s)
        return {key: key % 3 for key in keys}

    @batch(timeout=1.0)
    async def campaigns(keys: Sequence[int]) -> Mapping[int, int]:
        tell("campaigns", keys)
        await asyncio.sleep(0.001)
        return {key: 10 * key for key in keys}

    def is_guest(x: int) -> bool:
        return x < 0

    def guest() -> int:
        return 7

    def named(campaign: int) -> int:
        tell("named", [campaign])
        return campaign

    def band(x: int) -> int:
        tell("band", [x])
        return x // 2

    return Graph(
        Given,
        is_guest,
        guest,
        named,
        band,
        customer=lookup(customers, key="x"),
        profile=branch("is_guest", then="guest", otherwise="customer"),
        campaign=lookup(campaigns, key="profile"),
    )


def _now_ms() -> float:
    return round((asyncio.get_running_loop().time() - 1000.0) * 1e3, 3)


GIVENS = [{"x": x} for x in (-1, 4, 5, -2)]


def values_of(graph: Graph, deadline_s: float | None = None) -> list[tuple[object, object]]:
    found = run(
        lambda: graph.resolve_all(("band", "named"), given=GIVENS, deadlines=[deadline_s] * len(GIVENS))
    )
    return [(one.get("band", MISSING), one.get("named", MISSING)) for one in found]


def test_who_is_before_a_fetch_waits_for_those_who_come_to_it_next():
    """One question for guests and customers."""
    asked: Asked = []
    assert values_of(shop(asked)) == [(-1, 70), (2, 10), (2, 20), (-1, 70)]
    assert [one for one in asked if one[0] in ("customers", "campaigns")] == [
        ("customers", 0.0, [4, 5]),
        ("campaigns", 1.0, [7, 1, 2]),
    ]


def test_what_needs_no_fetch_is_done_at_once_and_what_needs_none_any_more_for_all_together():
    """Whatever the order in which it is wanted."""
    asked: Asked = []
    values_of(shop(asked))
    assert [one for one in asked if one[0] in ("named", "band")] == [
        *[("band", 0.0, [x]) for x in (-1, 4, 5, -2)],
        *[("named", 2.0, [value]) for value in (70, 10, 20, 70)],
    ]


def test_they_are_not_waited_for_for_long():
    """Whoever is slow holds up nobody else's question by more than that."""
    asked: Asked = []
    assert values_of(shop(asked, customers_take_s=0.5)) == [(-1, 70), (2, 10), (2, 20), (-1, 70)]
    assert [one for one in asked if one[0] == "campaigns"] == [
        ("campaigns", JOIN_S * 1e3, [7]),
        ("campaigns", 500.0, [1, 2]),
    ]


def test_nor_with_what_is_left_behind_the_last_fetch():
    """Which would come after the deadline otherwise, where somebody else's fetch hangs."""
    asked: Asked = []
    assert values_of(shop(asked, customers_take_s=0.5), deadline_s=0.05)[0] == (-1, 70)
    assert [one for one in asked if one[0] == "named"] == [("named", JOIN_S * 1e3 + 1.0, [70])] * 2


def test_who_has_all_by_the_first_fetch_waits_for_as_long():
    """And no longer: it is not waited twice."""
    asked: Asked = []

    @batch(timeout=1.0)
    async def slowly(keys: Sequence[int]) -> Mapping[int, int]:
        await asyncio.sleep(0.5)
        return {key: key for key in keys}

    def is_guest(x: int) -> bool:
        return x < 0

    def guest() -> int:
        return 7

    def named(profile: int) -> int:
        asked.append(("named", _now_ms(), [profile]))
        return profile

    graph = Graph(
        Given,
        is_guest,
        guest,
        named,
        customer=lookup(slowly, key="x"),
        profile=branch("is_guest", then="guest", otherwise="customer"),
    )
    run(lambda: graph.resolve_all("named", given=GIVENS, deadlines=[None] * len(GIVENS)))
    assert asked == [("named", ms, [value]) for ms, value in ((2.0, 7), (2.0, 7), (500.0, 4), (500.0, 5))]


def test_with_little_time_they_are_waited_for_for_less():
    """A tenth of what there is; who comes too late is answered as ever, and spoils nothing for the others."""
    asked: Asked = []
    assert values_of(shop(asked, customers_take_s=0.5), deadline_s=0.005) == [
        (-1, 70),
        (2, MISSING),
        (2, MISSING),
        (-1, 70),
    ]
    assert [one for one in asked if one[0] == "campaigns"] == [("campaigns", 0.5, [7])]


def test_sides_of_a_branch_that_both_fetch_do_not_wait_for_one_another():
    """Nobody of one comes to the fetch of the other."""
    asked: Asked = []

    def looked_up(name: str, takes_s: float):
        @batch(timeout=1.0)
        async def table(keys: Sequence[int]) -> Mapping[int, int]:
            asked.append((name, _now_ms(), list(keys)))
            await asyncio.sleep(takes_s)
            return {key: key for key in keys}

        return lookup(table, key="x")

    def is_guest(x: int) -> bool:
        return x < 0

    graph = Graph(
        Given,
        is_guest,
        one=looked_up("one", 0.004),
        other=looked_up("other", 0.004),
        either=branch("is_guest", then="one", otherwise="other"),
    )
    run(lambda: graph.resolve_all("either", given=GIVENS, deadlines=[None] * len(GIVENS)))
    assert sorted(asked) == [("one", 0.0, [-1, -2]), ("other", 0.0, [4, 5])]
