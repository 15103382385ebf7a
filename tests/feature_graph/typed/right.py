"""Code of a person who uses every part of feature_graph, as it should be: no checker has a word to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, assert_type

from feature_graph import (
    Graph,
    Outcome,
    Resolution,
    batch,
    branch,
    each,
    fetch,
    first_of,
    lookup,
    remaining,
    wire,
)


class Http:
    """A client, handed in like any other value."""

    async def get(self, url: str, timeout_s: float | None) -> bytes:
        """Fetch."""
        return url.encode()


class Given(TypedDict):
    """All that a caller hands in."""

    customer_id: str
    arms: list[str]
    http: Http


class Profile:
    """What is known of a customer."""

    age: int = 30


@fetch(timeout=0.05, fallback=None)
async def profile(customer_id: str, http: Http) -> Profile | None:
    """A value as the fallback."""
    return Profile() if await http.get(customer_id, remaining()) else None


def no_score(error: BaseException | None) -> float:
    """A fallback made from the error."""
    return -1.0


@fetch(timeout=0.08, fallback=no_score, hedge="p95", idempotent=True)
async def live_score(customer_id: str) -> float:
    """A function as the fallback."""
    return 0.5


@fetch(blocking=True)
def blocking_score(customer_id: str) -> float:
    """A plain def that runs in a thread."""
    return 0.25


@batch(max=100, timeout=0.05)
async def prices(ids: Sequence[str], http: Http) -> Mapping[str, float | KeyError]:
    """Many keys, one call."""
    return dict.fromkeys(ids, 1.0)


def is_new(profile: Profile | None) -> bool:
    """Derived."""
    return profile is None


def doubted(score: Outcome[float]) -> bool:
    """Asks how a value came to be."""
    return not score.has_value


def total(all_prices: list[float]) -> float:
    """Of a list that each makes."""
    return sum(all_prices)


def distance(a: float, b: float) -> float:
    """Wired to nodes of other names."""
    return abs(a - b)


graph = Graph(
    Given,
    profile,
    live_score,
    blocking_score,
    is_new,
    doubted,
    total,
    score=branch("is_new", then="live_score", otherwise="best"),
    best=first_of("blocking_score", "live_score"),
    all_prices=each(lookup(prices, key="arms"), over="arms", max_in_flight=8),
    price=lookup(prices, key="customer_id"),
    gap=wire(distance, a="live_score", b="blocking_score"),
)


async def decide() -> float:
    """Ask, and read what came of it."""
    found = await graph.resolve(
        ["score", "total", "live_score", "blocking_score"],
        given=Given(customer_id="c1", arms=["a", "b"], http=Http()),
        deadline=0.2,
        required=["score"],
    )
    assert_type(found, Resolution)
    assert_type(found["score"], object)
    assert_type(found.value_of(profile), Profile | None)
    assert_type(found.value_of(blocking_score), float)
    assert_type(found.value_of(is_new), bool)
    return found.value_of(live_score) + found.value_of(total)


async def as_ordinary_functions() -> None:
    """Decorated or not, they are what they were."""
    assert_type(await profile("c1", http=Http()), Profile | None)
    assert_type(await live_score("c1"), float)
    assert_type(blocking_score("c1"), float)
    assert_type(await prices(["a"], Http()), Mapping[str, float | KeyError])
    assert_type(is_new(None), bool)
