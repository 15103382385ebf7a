"""What is the same for everybody is found out once for all who ask together, and nobody can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypedDict

import pytest
from msgspec import structs

from decision_service.api.recommendations import RecommendationRequest
from decision_service.api.values import GivenArm
from decision_service.feature_module import Declared
from decision_service.features import FeatureSource
from decision_service.looks import Resolved, Wanted
from decision_service.prepolicy import Shelf, eligible, without
from decision_service.shared_look import divide
from feature_graph import Graph, batch, each, fetch, lookup
from sidecar.contracts.application import Arm
from sidecar.contracts.catalogue import catalogue_of

SHELF = Shelf(catalogue_of(tuple(Arm(f"a{place}", {"size": float(place)}) for place in range(4))))


class Stock:
    """A source that counts, and does as it is told."""

    def __init__(self, pieces: dict[str, int], slow_s: float = 0.0, broken: bool = False) -> None:
        self.pieces, self.slow_s, self.broken = pieces, slow_s, broken
        self.asked = 0

    async def many(self, arms: Sequence[str]) -> dict[str, int]:
        self.asked += 1
        await asyncio.sleep(self.slow_s)
        if self.broken:
            raise ConnectionError("no stock today")
        return {arm: self.pieces[arm] for arm in arms if arm in self.pieces}


class Given(TypedDict):
    unit_id: str
    candidates: tuple[str, ...]
    arms: tuple[str, ...]
    stock: Stock


@fetch(timeout=0.5)
async def pieces(candidates: tuple[str, ...], stock: Stock) -> dict[str, int]:
    return await stock.many(candidates)


@fetch(timeout=60.0)
async def taste(unit_id: str) -> int:
    await asyncio.sleep(0)
    return len(unit_id) % 4


def sold_out(pieces: dict[str, int]) -> list[str]:
    return [arm for arm, count in pieces.items() if count == 0]


def disliked(taste: int, candidates: tuple[str, ...]) -> list[str]:
    return [f"a{taste}"] if f"a{taste}" in candidates and taste else []


def is_scarce(arm: str, pieces: dict[str, int]) -> bool | None:
    return pieces[arm] < 3 if arm in pieces else None


def suits(arm: str, taste: int, pieces: dict[str, int]) -> float:
    return float(taste + pieces.get(arm, 0))


GRAPH = Graph(
    Given,
    pieces,
    taste,
    sold_out,
    disliked,
    scarce=each(is_scarce, over="arms"),
    suited=each(suits, over="arms"),
)
DECLARED = Declared(GRAPH, ("taste",), ("scarce", "suited"), ("sold_out", "disliked"))


async def ask(stock: Stock, requests: Sequence[RecommendationRequest], alone: bool = False) -> list[Resolved]:
    """What all of them are told, who ask at once."""
    loop = asyncio.get_running_loop()
    source = FeatureSource(DECLARED, {"stock": stock}, loop.time, 60.0)
    if alone:
        source._shared = None

    async def one(request: RecommendationRequest) -> Resolved:
        deadline_at = loop.time() + 60.0
        arms = eligible(request, SHELF)
        first = await source.first_look(request, arms, deadline_at)
        assert first is not None
        arms = without(arms, first.excluded)
        return await source.resolve(request, arms, deadline_at, first)

    return list(await asyncio.gather(*map(one, requests)))


def requests_of(count: int) -> list[RecommendationRequest]:
    """Whole catalogue, some of it, and arms of their own."""
    plain = [RecommendationRequest(session_id="s" * (n % 5 + 1)) for n in range(count)]
    return [
        *plain,
        RecommendationRequest(session_id="ex", exclude=["a2"]),
        RecommendationRequest(session_id="own", arms=["a0", GivenArm("a3", {"scarce": "given"})]),
        RecommendationRequest(session_id="told", context={"taste": 2.0}),
    ]


@pytest.mark.parametrize("broken", [False, True])
async def test_nobody_can_tell_that_others_asked_too(broken: bool) -> None:
    """Features, exclusions and how each was had are what a run of one's own says; failures too."""
    pieces = {"a0": 2, "a1": 0, "a3": 9}
    shared = await ask(Stock(pieces, broken=broken), requests_of(10))
    alone = await ask(Stock(pieces, broken=broken), requests_of(10), alone=True)
    assert shared == alone


async def test_a_source_is_asked_once_for_all_who_ask_together() -> None:
    """And by each alone who asks about other arms."""
    stock = Stock({"a0": 2})
    await ask(stock, [RecommendationRequest(session_id=f"s{n}") for n in range(50)])
    assert stock.asked == 1
    await ask(stock, [RecommendationRequest(session_id=f"s{n}", exclude=["a0"]) for n in range(3)])
    assert stock.asked == 4


async def test_a_source_that_is_too_slow_is_timed_out_for_all() -> None:
    """Its timeout is the graph's, as for one alone."""
    told = await ask(Stock({"a0": 0}, slow_s=5.0), requests_of(3))
    assert {one.outcomes["sold_out"] for one in told} == {"upstream_failed"}
    assert {one.arm_outcomes.get("scarce") for one in told} == {None}


async def test_who_cannot_wait_for_the_others_looks_alone() -> None:
    """A wave that does not come within the share of a request is not waited for."""
    loop = asyncio.get_running_loop()
    source = FeatureSource(DECLARED, {"stock": Stock({"a0": 0}, slow_s=5.0)}, loop.time, 10.0)
    request = RecommendationRequest(session_id="s")
    first = await source.first_look(request, eligible(request, SHELF), loop.time() + 0.01)
    assert first is not None
    assert first.wave is None
    assert first.outcomes["sold_out"] == "upstream_failed"


class Shop(Given):
    tastes: Stock


@batch(timeout=0.5, fallback=0)
async def tastes_of(units: Sequence[str], tastes: Stock) -> dict[str, int]:
    return {unit: len(unit) % 4 for unit in units if await tastes.many([unit]) is not None}


LOOKED_UP = Graph(
    Shop,
    pieces,
    sold_out,
    disliked,
    taste=lookup(tastes_of, key="unit_id"),
    scarce=each(is_scarce, over="arms"),
    suited=each(suits, over="arms"),
)


async def ask_at_once(stock: Stock, tastes: Stock, alone: bool) -> list[object]:
    """First and second look of many, decided together as one run of the graph; or as ever."""
    loop = asyncio.get_running_loop()
    declared = Declared(LOOKED_UP, ("taste",), ("scarce", "suited"), ("sold_out", "disliked"))
    source = FeatureSource(declared, {"stock": stock, "tastes": tastes}, loop.time, 60.0)
    assert source.together
    assert source._looker is not None
    assert source._looker.at_once
    if alone:
        source._looker = structs.replace(source._looker, at_once=False, shared=None)
    requests = requests_of(10)
    allowed = [eligible(request, SHELF) for request in requests]
    looks = await source.first_looks(list(zip(requests, allowed, strict=True)), loop.time() + 60.0)
    first = [look for look in looks if look is not None]
    left = [without(arms, look.excluded) for arms, look in zip(allowed, first, strict=True)]
    wanted = [Wanted(*one) for one in zip(requests, left, first, strict=True)]
    resolved = await source.resolve_all(wanted, loop.time() + 60.0)
    return [[look.excluded, look.outcomes, one] for look, one in zip(first, resolved, strict=True)]


@pytest.mark.parametrize("broken", [(), ("stock",), ("tastes",), ("stock", "tastes")], ids=str)
async def test_one_run_for_all_says_what_a_run_for_each_says(broken: tuple[str, ...]) -> None:
    """Where all that is asked for single shoppers is looked up."""
    pieces = {"a0": 2, "a1": 0, "a3": 9}

    def shops() -> tuple[Stock, Stock]:
        return Stock(pieces, broken="stock" in broken), Stock({}, broken="tastes" in broken)

    stock, tastes = shops()
    assert await ask_at_once(stock, tastes, alone=False) == await ask_at_once(*shops(), alone=True)
    if not broken:
        # Two ask about other arms, and one brings a feature itself; five lengths of unit, and those two.
        assert (stock.asked, tastes.asked) == (4, 7)


def test_what_a_request_may_give_is_its_own() -> None:
    """A node that is a context feature is never shared, nor what follows from it."""
    division = divide(DECLARED, frozenset(("stock",)))
    assert division is not None
    assert (division.rules, division.own_rules) == (("sold_out",), ("disliked",))
    assert (division.arm_goals, division.own_arm_goals) == (("scarce",), ("suited",))
    assert division.lent == ("pieces",)
    assert not division.lent_at_once
    assert divide(Declared(GRAPH, ("pieces",), (), ("sold_out",)), frozenset(("stock",))) is None
