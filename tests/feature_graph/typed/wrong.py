"""Code of a person who is mistaken on every marked line, and on no other; each checker says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NotRequired, TypedDict

from feature_graph import Graph, batch, branch, each, fetch, lookup, wire


class Given(TypedDict):
    """All that a caller hands in."""

    customer_id: str
    factor: NotRequired[int]


@fetch(timeout=0.05, fallback=0.0)
async def score(customer_id: str) -> float:
    """A fetch."""
    return 0.5


def risk(score: float, factor: int = 1) -> float:
    """A derived node."""
    return score * factor


@batch(max=10)
async def prices(ids: Sequence[str]) -> Mapping[str, float]:
    """A batch."""
    return dict.fromkeys(ids, 1.0)


graph = Graph(Given, score, risk)


if TYPE_CHECKING:  # it would be refused at run time too

    @fetch(timeout=0.05)  # wrong: a plain def is a fetch only if it is said to block
    def plain(customer_id: str) -> float:
        """Not async."""
        return 0.5

    @fetch(timeout="50ms")  # wrong: seconds
    async def text_timeout(customer_id: str) -> float:
        """Not a number."""
        return 0.5

    @fetch(time_out=0.05)  # wrong: no such option
    async def misspelt(customer_id: str) -> float:
        """Not an option."""
        return 0.5

    @batch(max=10)  # wrong: no mapping
    async def listed(ids: Sequence[str]) -> list[float]:
        """Not by key."""
        return [1.0 for _ in ids]

    @batch(max=10)  # wrong: no sequence of keys
    async def one_by_one(key: str) -> Mapping[str, float]:
        """Not a batch."""
        return {key: 1.0}

    lookups = lookup(score, key="customer_id")  # wrong: no batch
    branches = branch("risk", then="score")  # wrong: two sides
    eaches = each(risk, over=["a"])  # wrong: the name of a node
    wired = wire(risk, score=0.5)  # wrong: the name of a node


async def ask() -> None:
    """Run the graph, and call its functions."""
    given = Given(customer_id=1)  # wrong: a str
    Given(customer="c1")  # wrong: no such input
    await graph.resolve("risk", given={1: "c1"})  # wrong: names are str
    await graph.resolve("risk", given=given, deadline="200ms")  # wrong: seconds
    await graph.resolve(7, given=given)  # wrong: a name
    found = await graph.resolve("risk", given=given)
    _: str = found.value_of(risk)  # wrong: a float
    _ = found.value_of(score)  # wrong: a float
    found["risk"] + 1  # wrong: an object, until it is looked at
    risk("high")  # wrong: a float
    risk(score=0.5, factor=0.5)  # wrong: an int
    risk(score(customer_id="c1"))  # wrong: not awaited
    await score(1)  # wrong: a str
    (await prices(["a"]))[0]  # wrong: keys are str
    (await prices(["a"]))["a"].upper()  # wrong: values are float
