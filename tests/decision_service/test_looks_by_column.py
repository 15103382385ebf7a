"""Who are decided together are read column by column, and each is told what it would be told alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from msgspec import structs

from decision_service.api.recommendations import RecommendationRequest
from decision_service.api.values import GivenArm
from decision_service.feature_module import Declared
from decision_service.features import FeatureSource
from decision_service.looks import FirstLook, Resolved, Wanted
from decision_service.mishaps import Mishaps
from decision_service.prepolicy import Shelf, eligible, without
from decision_service.side_by_side import in_order
from decision_service.sources.constant import Fixed
from feature_graph import Graph, each, fetch
from sidecar.contracts.application import Arm
from sidecar.contracts.catalogue import catalogue_of

SHELF = Shelf(catalogue_of(tuple(Arm(f"a{place}", {}) for place in range(4))))
VALUES: dict[str, object] = {
    "text": "red",
    "accents": "caffè",
    "broken": "\ud800",
    "long": "x" * 1025,
    "truth": True,
    "number": 7,
    "numpy": np.float64(0.5),
    "huge": 10**400,
    "list": [],
}
BY_ARM: dict[str, object] = {
    "truth": [True, None, False],
    "text": [None] * 3,
    "number": [1, True, None],
    "broken": [True, "x", {"p": 1.0}],
    "long": [True],
    "huge": (True, True, True),
}
SAYS: dict[str, object] = {
    "empty": [],
    "reasons": {"a1": "nothing for them", "a2": None},
    "names": ["a3", "a9"],
    "rubbish": 7,
}


class Given(TypedDict):
    unit_id: str
    candidates: tuple[str, ...]
    arms: tuple[str, ...]
    stock: Fixed[int]


@fetch(timeout=5.0)
async def pieces(candidates: tuple[str, ...], stock: Fixed[int]) -> dict[str, int]:
    return {str(key): count for key, count in (await stock.many(candidates)).items()}


def sold_out(pieces: dict[str, int]) -> dict[str, str]:
    return {arm: "sold out" for arm, count in pieces.items() if count == 0}


def barred(unit_id: str) -> object:
    return SAYS.get(unit_id)


def value(unit_id: str) -> object:
    return VALUES.get(unit_id)


def again(value: object) -> object:
    return value


def liked(unit_id: str) -> object:
    return BY_ARM.get(unit_id, [False] * 3)


def scarce(arm: str, pieces: dict[str, int]) -> bool:
    return pieces[arm] < 3


GRAPH = Graph(Given, pieces, sold_out, barred, value, again, liked, scarce=each(scarce, over="arms"))
DECLARED = Declared(GRAPH, ("value", "again"), ("scarce", "liked"), ("sold_out", "barred"))
UNITS = ("nobody", *VALUES, *SAYS, "somebody")
REQUESTS = (
    *[RecommendationRequest(session_id=unit) for unit in UNITS],
    *[RecommendationRequest(session_id=unit, context={"device": "ios"}) for unit in UNITS],
    RecommendationRequest(session_id="text", context={"value": "told"}),
    RecommendationRequest(session_id="truth", arms=["a0", "a1", GivenArm("a3", {"liked": "given"})]),
    RecommendationRequest(session_id="huge", exclude=["a2"]),
)
Told = tuple[list[FirstLook], list[Resolved]]


async def ask(
    requests: Sequence[RecommendationRequest], mishaps: Counter[tuple[str, str]], plain: bool
) -> Told:
    """Both looks at all of them at once; or as where nothing is the same for anybody."""
    clock = asyncio.get_running_loop().time

    def count(node: str, kind: str) -> None:
        mishaps[node, kind] += 1

    stock = Fixed({"a0": 2, "a1": 5, "a2": 0, "a3": 9})
    source = FeatureSource(DECLARED, {"stock": stock}, clock, 60.0, Mishaps(count))
    assert source._looker is not None
    assert source._looker.at_once
    assert source._looker.shared is not None
    assert source._looker.shared.division.own_rules == ("barred",)
    if not plain:
        source._looker = structs.replace(source._looker, at_once=False, shared=None)
    allowed = [eligible(request, SHELF) for request in requests]
    looks = await source.first_looks([*zip(requests, allowed, strict=True)], clock() + 60.0)
    first = [look for look in looks if look is not None]
    left = [without(arms, look.excluded) for arms, look in zip(allowed, first, strict=True)]
    wanted = [Wanted(*one) for one in zip(requests, left, first, strict=True)]
    return first, await source.resolve_all(wanted, clock() + 60.0)


async def test_each_is_told_what_it_would_be_told_alone() -> None:
    """What cannot be used of one is no harm to others, and is counted once for each."""
    at_once: Counter[tuple[str, str]] = Counter()
    alone: Counter[tuple[str, str]] = Counter()
    first, second = await ask(REQUESTS, at_once, plain=True)
    for place, request in enumerate(REQUESTS):
        (look,), (found,) = await ask([request], alone, plain=False)
        assert (first[place].excluded, first[place].outcomes) == (look.excluded, look.outcomes)
        assert second[place] == found
        assert list(second[place].context) == list(found.context)
    assert at_once == alone
    assert at_once["value", "unusable"] == 9
    assert {one.outcomes["barred"] for one in first} == {"ok", "unusable"}


async def test_those_who_are_told_alike_share_what_was_read() -> None:
    """One mapping for all of them, and none for one of whom something else is so."""
    requests = [RecommendationRequest(session_id=unit) for unit in ("text", "broken", "truth", "names")]
    first, second = await ask(requests, Counter(), plain=True)
    assert first[0].outcomes is first[1].outcomes is first[2].outcomes is not first[3].outcomes
    assert second[0].outcomes is second[2].outcomes is not second[1].outcomes
    assert second[0].context is not second[2].context


def test_what_was_found_in_groups_comes_in_order() -> None:
    """Whatever stands in which group."""
    assert in_order([[0, 3], [2], [1]], ["ad", "c", "b"]) == list("abcd")
    assert in_order([], []) == []
