"""A run that goes on from another one: nothing is fetched twice, and a stand-in stays one."""

from __future__ import annotations

from typing import TypedDict

import pytest

from feature_graph import Graph, fetch, first_of


class Given(TypedDict):
    calls: list[str]


@fetch(fallback="stand-in")
async def down(calls: list[str]) -> str:
    calls.append("down")
    raise KeyError("down")


@fetch()
async def lost(calls: list[str]) -> str:
    calls.append("lost")
    raise KeyError("lost")


@fetch()
async def good(calls: list[str]) -> str:
    calls.append("good")
    return "good"


def of_down(down: str) -> str:
    return down


def of_good(good: str) -> str:
    return good


def further(of_down: str) -> str:
    return of_down


def further_good(of_good: str) -> str:
    return of_good


def of_lost(lost: str) -> str:
    return lost


GRAPH = Graph(
    Given, down, lost, good, of_down, of_good, further, further_good, of_lost, either=first_of("lost", "good")
)


@pytest.fixture(params=["resolve", "resolve_in_order"])
def resolve(request):
    return getattr(GRAPH, request.param)


async def two_looks(resolve, first_goals, goals):
    calls: list[str] = []
    first = await resolve(first_goals, given={"calls": calls})
    done = list(calls)
    second = await resolve(goals, given={"calls": calls, **first.settled})
    return first, second, done, calls


async def test_nothing_is_fetched_twice(resolve):
    """Values, stand-ins and failures are all taken over."""
    first, second, done, calls = await two_looks(
        resolve, ["of_down", "of_good", "lost"], ["further", "further_good", "of_lost", "good"]
    )

    assert sorted(done) == sorted(calls) == ["down", "good", "lost"]
    assert second.values == {"further": "stand-in", "further_good": "good", "good": "good"}
    assert second.statuses["of_lost"] == "upstream_failed"
    assert second.outcomes["of_lost"].root == "lost"
    assert (first.whole, second.whole) == (False, False)


async def test_what_was_made_of_a_stand_in_is_told_by_the_second_run_too(resolve):
    """It sees a value that is ok; what lies behind it came with a note. What is good stays good."""
    _, second, _, _ = await two_looks(
        resolve, ["of_down", "of_good", "either"], ["further", "further_good", "either"]
    )

    told = {goal: second.degraded(goal) for goal in second.goals}
    assert told == {"further": ("down",), "further_good": (), "either": ("either",)}


async def test_a_run_in_which_all_is_well_is_whole(resolve):
    """And so is one that goes on from it."""
    first, second, _, _ = await two_looks(resolve, ["of_good"], ["further_good"])

    assert (first.whole, second.whole) == (True, True)
    assert second.degraded("further_good") == ()
    assert second.settled["of_good"].notes == {}
