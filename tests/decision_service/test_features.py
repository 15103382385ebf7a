"""What an application's graph may say: two looks, features of context and arms, and harmless rubbish."""

from __future__ import annotations

import asyncio
import enum
from pathlib import Path
from typing import TypedDict

import msgspec
import numpy as np
import pytest

from decision_service.api.recommendations import RecommendationRequest
from decision_service.feature_module import Declared, Surroundings, clients_of, load_features
from decision_service.features import FeatureSource
from decision_service.prepolicy import Shelf, eligible, without
from feature_graph import Graph, batch, each, fetch, lookup
from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.arm_features import features_by_arm, values_of
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.errors import BadApplication
from sidecar.contracts.wire import ScoreRequest, ScoreRow, decode_request, encode

ARMS = ("a", "b", "c", "d")
SHELF = Shelf(catalogue_of(tuple(Arm(arm, {"size": float(place)}) for place, arm in enumerate(ARMS))))


class Given(TypedDict):
    table: dict[str, object]


class Colour(str, enum.Enum):  # noqa: UP042 - the older form, whose str() is not its value
    RED = "red"


class Hostile(dict):
    def items(self):
        raise RuntimeError("no")

    __iter__ = __len__ = __getitem__ = items


class OddFloat(float):
    def __ge__(self, other):
        raise RuntimeError("no")

    __le__ = __ge__


def source_of(declared: Declared, clients: dict[str, object]) -> FeatureSource:
    return FeatureSource(declared, clients, asyncio.get_running_loop().time, 10.0)


async def look(source: FeatureSource, **asked: object):
    """Both looks, as ``decide`` takes them."""
    request = RecommendationRequest(session_id="s", **asked)
    deadline_at = asyncio.get_running_loop().time() + 10
    arms = eligible(request, SHELF)
    first = await source.first_look(request, arms, deadline_at)
    if first is not None:
        arms = without(arms, first.excluded)
    return await source.resolve(request, arms, deadline_at, first)


def answered(table: dict[str, object]) -> object:
    return table["value"]


@pytest.mark.parametrize(
    ("value", "feature"),
    [
        ("text", "text"),
        (np.str_("text"), "text"),
        (Colour.RED, "red"),
        (np.float64(0.5), 0.5),
        (7, 7.0),
        (True, True),
        ("\ud800", None),
        ("x" * 1025, None),
        (10**400, None),
        (1e10, None),
        (float("nan"), None),
        (float("-inf"), None),
        (OddFloat(1.0), None),
        ([], None),
    ],
)
async def test_a_value_travels_as_its_plain_type_or_is_unusable(value, feature):
    """Text of another type or without a form in UTF-8 would fail the score call of all its neighbours."""
    declared = Declared(Graph(Given, answered), ("answered",))
    found = await look(source_of(declared, {"table": {"value": value}}))

    request = ScoreRequest((ScoreRow(found.context),), (Exploration(),), "v")
    travelled = decode_request(encode(request)).rows[0].context
    assert travelled == ({} if feature is None else {"answered": feature})
    assert found.outcomes == {"answered": "unusable" if feature is None else "ok"}


ALL = ["unusable"] * 4


@pytest.mark.parametrize(
    ("value", "features", "words"),
    [
        ([1, "x", True, None], [{"answered": 1.0}, {"answered": "x"}, {"answered": True}, {}], ["ok"] * 4),
        (np.array([1.0, 2.0, 3.0, 4.0]), [{"answered": float(n)} for n in range(1, 5)], ["ok"] * 4),
        (
            [{"p": 1.0, "q": None}, {}, {"q": "\ud800", "p": 2.0}, [1]],
            [{"p": 1.0}, {}, {"p": 2.0}, {}],
            ["ok", "ok", "unusable", "unusable"],
        ),
        (
            [{1: 1.0}, {"": 1.0}, {"x" * 257: 1.0}, {"\ud800": 1.0}],
            [{}] * 4,
            ALL,
        ),
        ([Hostile(), float("nan"), 1e10, OddFloat(0)], [{}] * 4, ALL),
        ([{str(n): 1.0 for n in range(300)}] * 4, [{str(n): 1.0 for n in range(256)}] * 4, ALL),
        ([1.0, 2.0, 3.0], [{}] * 4, ALL),
        ([1.0] * 5, [{}] * 4, ALL),
        ({"a": 1.0}, [{}] * 4, ALL),
        ("abcd", [{}] * 4, ALL),
        (None, [{}] * 4, ALL),
        (np.zeros((2, 2)), [{}] * 4, ALL),
    ],
)
async def test_values_for_arms_become_their_features_or_are_unusable(value, features, words):
    """One a piece, in the order of the arms; what is wrong with one arm's is no harm to the others'."""
    declared = Declared(Graph(Given, answered), arm_goals=("answered",))
    found = await look(source_of(declared, {"table": {"value": value}}))

    row = decode_request(
        encode(ScoreRequest((ScoreRow({}, arm_features=found.arm_features),), (), "v"))
    ).rows[0]
    assert features_by_arm(row.arm_features, 4) == features
    told = found.arm_outcomes.get("answered")
    assert (values_of(told, 4) if told else [found.outcomes["answered"]] * 4) == words
    assert found.outcomes["answered"] == ("unusable" if "unusable" in words else "ok")


class ArmsGiven(TypedDict):
    candidates: tuple[str, ...]
    arms: tuple[str, ...]
    arm_features: dict[str, dict[str, object]]
    unit_id: str
    calls: list[object]
    price: float


@batch(timeout=5.0, fallback=-1.0)
async def stocks(ids, calls: list[object]) -> dict[str, float]:
    calls.append(("stocks", tuple(ids)))
    return {arm: 0.0 if arm == "b" else 5.0 for arm in ids if arm != "d"}


def sold_out(candidates: tuple[str, ...], levels: list[float]) -> dict[str, str]:
    return {arm: "sold out" for arm, level in zip(candidates, levels, strict=True) if level == 0.0}


@fetch(timeout=5.0)
async def customer(unit_id: str, calls: list[object]) -> str:
    calls.append(("customer", unit_id))
    return f"c-{unit_id}"


def barred(customer: str) -> list[str]:
    return ["c", "unheard of"] if customer == "c-child" else []


@fetch(timeout=5.0, fallback="nobody")
async def name(customer: str, calls: list[object]) -> str:
    calls.append(("name", customer))
    return {"c-ann": "Ann"}[customer]


def greeting(name: str) -> str:
    return f"hello {name}"


def level_of(arms: tuple[str, ...], candidates: tuple[str, ...], levels: list[float]) -> list[float]:
    known = dict(zip(candidates, levels, strict=True))
    return [known[arm] for arm in arms]


def bulky(arms: tuple[str, ...], arm_features: dict[str, dict[str, object]]) -> list[dict[str, bool]]:
    return [{"bulky": bool(arm_features[arm].get("size", 0.0) > 1.0)} for arm in arms]


def rated(arms: tuple[str, ...], price: float) -> list[float]:
    return [price] * len(arms)


GRAPH = Graph(
    ArmsGiven,
    sold_out,
    customer,
    barred,
    name,
    greeting,
    level_of,
    bulky,
    rated,
    levels=each(lookup(stocks, key="arm"), over="candidates"),
    again=each(lookup(stocks, key="arm"), over="arms"),
)
TWO_LOOKS = Declared(
    GRAPH,
    goals=("greeting", "customer"),
    arm_goals=("level_of", "bulky"),
    first_look=("sold_out", "barred"),
)


async def test_the_second_look_goes_on_from_the_first():
    """What a rule excludes is gone, and what the rules fetched is not fetched again."""
    calls: list[object] = []
    found = await look(source_of(TWO_LOOKS, {"calls": calls}), unit_id="ann")

    assert sorted(calls) == [("customer", "ann"), ("name", "c-ann"), ("stocks", ARMS)]
    assert found.context == {"greeting": "hello Ann", "customer": "c-ann"}
    assert features_by_arm(found.arm_features, 3) == [
        {"level_of": 5.0, "bulky": False},
        {"level_of": 5.0, "bulky": True},
        {"level_of": -1.0, "bulky": True},
    ]
    assert found.outcomes == {
        "sold_out": "fallback",
        "barred": "ok",
        "greeting": "ok",
        "customer": "ok",
        "level_of": "fallback",
        "bulky": "ok",
    }


async def test_what_was_made_of_a_fallback_of_the_first_look_is_one():
    """The second look is told of values only; that they are stand-ins is not lost."""
    declared = Declared(GRAPH, goals=("greeting",), arm_goals=("level_of",), first_look=("sold_out",))
    found = await look(source_of(declared, {"calls": []}), unit_id="ann", arms=["a", "c"])
    other = await look(source_of(declared, {"calls": []}), unit_id="bob", arms=["a", "d"])

    assert found.outcomes == {"sold_out": "ok", "greeting": "ok", "level_of": "ok"}
    assert other.outcomes == {"sold_out": "fallback", "greeting": "fallback", "level_of": "fallback"}


async def test_the_arms_whose_element_fell_back_are_known():
    """Those of an ``each`` that are observations stay so."""
    found = await look(source_of(Declared(GRAPH, arm_goals=("again",)), {"calls": []}))

    assert found.outcomes == {"again": "fallback"}
    assert values_of(found.arm_outcomes["again"], 4) == ["ok", "ok", "ok", "fallback"]


async def test_the_requests_own_features_come_first():
    """Of the context: not fetched, and what needs them gets them. Of an arm: over what was fetched for it."""
    calls: list[object] = []
    asked = {
        "context": {"customer": "c-ann", "price": 7.0},
        "arms": ["a", {"id": "c", "features": {"rated": 1}}],
    }
    request = decode(asked)
    declared = Declared(GRAPH, goals=("customer", "greeting"), arm_goals=("rated",))
    found = await look(source_of(declared, {"calls": calls}), **request)

    assert calls == [("name", "c-ann")]
    assert found.context == {"customer": "c-ann", "price": 7.0, "greeting": "hello Ann"}
    assert found.outcomes == {"customer": "given", "price": "given", "greeting": "ok", "rated": "ok"}
    assert values_of(found.arm_features["rated"], 2) == [7.0, None]


def decode(asked: dict[str, object]) -> dict[str, object]:
    request = msgspec.convert({"session_id": "s", **asked}, RecommendationRequest)
    return {"context": request.context, "arms": request.arms}


@pytest.mark.parametrize(
    ("value", "excluded", "word"),
    [
        ({"a": "why", "unheard of": "x"}, {"a": "why"}, "ok"),
        ({"a": "", "b": None, "c": 5, 7: "x", "d": "\ud800"}, dict.fromkeys(ARMS, "answered"), "ok"),
        ({"a", "b"}, {"a": "answered", "b": "answered"}, "ok"),
        (["a", ["b"], None, 3], {"a": "answered"}, "ok"),
        (None, {}, "ok"),
        ({}, {}, "ok"),
        ("a", {}, "unusable"),
        (True, {}, "unusable"),
        (Hostile(a=1), {}, "unusable"),
    ],
)
async def test_a_rule_may_say_anything(value, excluded, word):
    """Arms with reasons, arms alone, or rubbish, which excludes nothing and is told."""
    declared = Declared(Graph(Given, answered), first_look=("answered",))
    source = source_of(declared, {"table": {"value": value}})
    first = await source.first_look(RecommendationRequest(session_id="s"), *_anything())

    assert {arm: why for arm, why in first.excluded.items() if arm in ARMS} == excluded
    assert first.outcomes == {"answered": word}


def _anything():
    arms = eligible(RecommendationRequest(session_id="s"), SHELF)
    return arms, asyncio.get_running_loop().time() + 10


async def test_without_time_everything_has_a_reason():
    """A deadline that has passed fetches nothing; what fallbacks give is there, and told as such."""
    calls: list[object] = []
    source = source_of(TWO_LOOKS, {"calls": calls})
    request = RecommendationRequest(session_id="s", unit_id="ann")
    arms, _ = _anything()
    first = await source.first_look(request, arms, 0.0)
    found = await source.resolve(request, arms, 0.0, first)

    assert calls == []
    assert (first.excluded, found.context) == ({}, {"greeting": "hello nobody"})
    told = ("barred", "customer", "greeting", "bulky")
    assert [found.outcomes[one] for one in told] == ["upstream_failed", "timed_out", "fallback", "ok"]


MODULE = """
from typing import TypedDict
from feature_graph import Graph, fetch

class Given(TypedDict):
    unit_id: str
    arms: tuple
    candidates: tuple

@fetch(timeout=0.02)
async def slow(unit_id: str) -> str: ...
async def endless(unit_id: str) -> str: ...
def of_arms(arms: tuple) -> list: ...
def of_candidates(candidates: tuple) -> list: ...

graph = Graph(Given, slow, endless, of_arms, of_candidates)
goals = ("slow",)
"""


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("goals = ()", "no `goals` and no `arm_goals`"),
        ("goals = 'slow'", "`goals` is a str; legal: a tuple"),
        ("arm_goals = ('slwo',)", "arm_goals .'slwo'. are no nodes; legal: endless, of_arms"),
        ("arm_goals = ('slow',)", "'slow' stands twice"),
        ("first_look = ('endless',)", "longer than 10 ms: - 'endless': for ever .* 20% of deadline_ms"),
        (
            "goals = ('endless',); first_look = ('slow',)",
            "'slow': 20 ms = slow 20 ms. That is 20% of deadline_ms",
        ),
        ("first_look = ('of_arms',)", "before the first look is over the arms are `candidates`"),
        ("graph = 1", "defines no `graph`"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_module_that_cannot_be_used_is_refused_at_the_start(tmp_path, lines, complaint):
    """With the file, the name and what would be legal."""
    path = tmp_path / "features.py"
    path.write_text(MODULE + lines)

    with pytest.raises(BadApplication, match=complaint):
        load_features(path, 0.05)


def test_goals_that_may_come_too_late_are_told_at_the_start(tmp_path, caplog):
    """They are no mistake: the deadline holds, and they are missing then."""
    path = tmp_path / "features.py"
    path.write_text(MODULE + "goals = ('slow', 'endless')\nfirst_look = ('of_candidates',)")

    _, declared = load_features(path, 0.05)

    assert declared.first_look == ("of_candidates",)
    assert "may take longer than 30 ms: - 'endless': for ever" in caplog.text
    assert "'slow'" not in caplog.text


def module_with(tmp_path, text):
    path = tmp_path / "features.py"
    path.write_text(
        "from contextlib import asynccontextmanager\nfrom typing import TypedDict\n"
        "from feature_graph import Graph\n"
        "class Given(TypedDict):\n    told: object\ndef x(told: object) -> object:\n    return told\n"
        f"graph = Graph(Given, x)\ngoals = ('x',)\n{text}"
    )
    return load_features(path, 1.0)[0]


AROUND = Surroundings("shop", Path("shop"), "unix:///store", "unix:///features")


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ("", "nothing"),
        ("around", "around.store_url"),
        ("around", "around.feature_store_url"),
        ("place=None", "place.application"),
    ],
)
async def test_clients_may_take_their_surroundings(tmp_path, signature, told):
    expression = told if "." in told else repr(told)
    module = module_with(
        tmp_path,
        f"@asynccontextmanager\nasync def clients({signature}):\n    yield {{'told': {expression}}}\n",
    )
    async with clients_of(module, AROUND) as clients:
        assert clients["told"] == {
            "around.store_url": "unix:///store",
            "around.feature_store_url": "unix:///features",
            "place.application": "shop",
        }.get(told, told)


@pytest.mark.parametrize(
    "text",
    [
        "def clients(a, b):\n    pass\n",
        "async def clients():\n    return {}\n",
        "def clients():\n    return {}\n",
        "clients = 7\n",
    ],
)
async def test_clients_that_cannot_be_opened_are_refused_with_what_is_legal(tmp_path, text):
    with pytest.raises(BadApplication, match="legal: "):
        clients_of(module_with(tmp_path, text), AROUND)
