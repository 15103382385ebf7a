"""The graph as Mermaid: every kind of node, names that mean something to Mermaid, a run's times on it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import TypedDict

import pytest

from feature_graph import BadRun, Graph, batch, branch, each, fetch, first_of, lookup
from feature_graph.guards import Source
from tests.feature_graph.virtual_time import run


class Given(TypedDict):
    user: str
    arms: list[str]


SHOP = Source("shop")


@fetch(timeout=0.05, source=SHOP)
async def stock(user: str) -> int:
    await asyncio.sleep(0.01)
    return 1


@fetch(fallback=2)
async def cached(user: str) -> int:
    await asyncio.sleep(0.03)
    raise ValueError


@batch(timeout=0.02)
async def prices(keys: Sequence[str]) -> Mapping[str, int]:
    return dict.fromkeys(keys, 1)


def double(stock: int, arm: str = "a") -> int:
    return 2 * stock


graph = Graph(
    Given,
    stock,
    cached,
    twice=lambda stock, cached: stock + cached,
    price=lookup(prices, key="user"),
    arm_prices=each(lookup(prices, key="arm"), over="arms", element="arm", timeout=0.1),
    doubled=each(double, over="arms", element="arm"),
    chosen=branch("stock", then="twice", otherwise="price"),
    best=first_of("cached", "price"),
)


def test_every_kind_of_node_has_its_shape():
    """Inputs rounded, fetches framed twice, lookups drums, eaches hexagons, decisions diamonds."""
    assert graph.mermaid().splitlines() == [
        "flowchart LR",
        '    n0(["arms"])',
        '    n1(["user"])',
        '    n2[["stock<br/>shop · ≤ 50 ms"]]',
        '    n3[["cached"]]',
        '    n4["twice"]',
        '    n5[("price<br/>≤ 20 ms")]',
        '    n6{{"arm_prices<br/>≤ 100 ms"}}',
        '    n7{{"doubled"}}',
        '    n8{"chosen"}',
        '    n9{"best"}',
        "    n1 --> n2",
        "    n1 --> n3",
        "    n2 --> n4",
        "    n3 --> n4",
        "    n1 -- key --> n5",
        "    n0 -- each --> n6",
        "    n0 -- each --> n7",
        "    n2 --> n7",
        "    n2 -- if --> n8",
        "    n4 -. then .-> n8",
        "    n5 -. otherwise .-> n8",
        "    n3 -. 1 .-> n9",
        "    n5 -. 2 .-> n9",
    ]


def test_only_what_the_goals_may_need_is_drawn():
    assert '"best"' not in graph.mermaid("chosen")
    with pytest.raises(BadRun, match="'nobody' is neither a node nor an input"):
        graph.mermaid("nobody")


def test_a_run_is_drawn_on_it_with_times_statuses_and_the_critical_path():
    found = run(lambda: graph.resolve("chosen", given={"user": "ann", "arms": []}))

    drawn = graph.mermaid("chosen", run=found).splitlines()

    assert '    n1[["stock<br/>shop · ≤ 50 ms<br/>10.0 ms · ok"]]' in drawn
    assert '    n2[["cached<br/>30.0 ms · fallback"]]' in drawn
    assert '    n4[("price<br/>≤ 20 ms")]' in drawn
    assert "    class n4 not_needed" in drawn
    assert "    class n2 fallback" in drawn
    assert "    class n1,n2,n3,n5 critical" in drawn
    thick = [line for line in drawn if "linkStyle" in line]
    arrows = [line.split() for line in drawn if "->" in line]
    places = [int(place) for place in thick[0].split()[1].split(",")]
    assert [(arrows[place][0], arrows[place][-1]) for place in places] == [("n2", "n3"), ("n3", "n5")]
    assert all(line.split()[1] in "".join(drawn) for line in drawn if line.startswith("    classDef"))


@pytest.mark.parametrize(
    "name", ['say "hi"', "a]b", "<b>x</b>", "`x`", "#35;", "x;y", "a\nb", "end", "%%{init}%%"]
)
def test_a_name_is_text_and_nothing_else(name):
    """What may mean something to Mermaid is written as its number; the rest stays readable."""
    (line,) = [
        each
        for each in Graph(Given, **{name: lambda user: user}).mermaid().splitlines()
        if each.startswith("    n1") and "-->" not in each
    ]

    label = line.removeprefix('    n1["').removesuffix('"]')
    assert not set(label) & set('"<>`\n%{}')
    assert re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label) == name
