"""The application's own rules: what they may ask for, what they may say, and what they cannot break."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TypedDict

import msgspec
import pytest

from decision_service.api.recommendations import RecommendationRequest
from decision_service.feature_module import Declared
from decision_service.features import FeatureSource
from decision_service.mishaps import Mishaps
from decision_service.prepolicy import Shelf, eligible, only, without
from decision_service.rules import Rules, load_rules, with_rules
from feature_graph import Graph, fetch
from sidecar.contracts.application import Arm
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.errors import BadApplication
from sidecar.contracts.rules_section import RulesConfig

SHELF = Shelf(catalogue_of((Arm("a", {"price": 1.0}), Arm("b", {"price": 2.0}), Arm("c"))))
FILE = """
SEASON = "spring"
def gift(device): return "b" if device == "kiosk" else None
def order(session_id): return ["c", "a"] if session_id == "ordered" else None
def dear(candidates, arm_features):
    return {arm: "too dear" for arm in candidates if arm_features[arm].get("price", 0) > 1.5}
def night(context): return context["hour"] > 20
"""


class Given(TypedDict):
    unit_id: str
    calls: list[str]


@fetch(timeout=5.0)
async def member(unit_id: str, calls: list[str]) -> bool:
    calls.append("member")
    return unit_id == "m"


@fetch(timeout=5.0)
async def history(unit_id: str, calls: list[str]) -> float:
    calls.append("history")
    return 3.0


def members_choice(member: bool) -> str | None:
    return "a" if member else None


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rules.py").write_text(FILE)
    return tmp_path


async def first_look(declared: Declared | None, clients=None, mishaps=None, **asked):
    source = FeatureSource(declared, clients or {}, asyncio.get_running_loop().time, 10.0, mishaps)
    request = RecommendationRequest(session_id=asked.pop("session_id", "s"), **asked)
    look = await source.first_look(request, eligible(request, SHELF), asyncio.get_running_loop().time() + 10)
    return request, look


async def test_rules_need_no_graph(folder):
    """They ask for what the service knows of a request, and for features of its context."""
    rules = load_rules(folder, RulesConfig(answer=("gift", "order"), exclude=("dear",)))
    declared = with_rules(None, rules, 0.05)
    request, look = await first_look(declared, context={"device": "kiosk"}, session_id="ordered")
    assert look.answers == (("order", ("c", "a")),)
    assert look.excluded == {"b": "too dear"}
    outcomes = {"device": "given", "gift": "not_eligible", "order": "ok", "dear": "ok"}
    assert look.alone(request).outcomes == outcomes


async def test_a_rule_asks_for_cheap_nodes_by_their_names_and_nothing_else_is_fetched():
    """With the application's own first look beside it."""
    own = Declared(Graph(Given, member, history), goals=("history",))
    declared = with_rules(own, Rules(Path("rules.py"), answer={"members_choice": members_choice}), 50.0)
    calls: list[str] = []
    _, look = await first_look(declared, {"calls": calls}, unit_id="m")
    assert look.answers == (("members_choice", ("a",)),)
    assert calls == ["member"]


async def test_beside_a_graph_a_rule_knows_the_request_too():
    """Whether or not the graph itself reads it."""
    own = Declared(Graph(Given, member), goals=("member",))

    def by_page(context, session_id, member):
        return context["page"] if session_id == "s" and member else None

    def dear(candidates, arm_features):
        return [arm for arm in candidates if arm_features[arm].get("price", 0) > 1.5]

    rules = Rules(Path("rules.py"), answer={"by_page": by_page}, exclude={"dear": dear})
    _, look = await first_look(
        with_rules(own, rules, 50.0), {"calls": []}, unit_id="m", context={"page": "c"}
    )
    assert (look.answers, look.excluded) == ((("by_page", ("c",)),), {"b": "dear"})


@pytest.mark.parametrize(
    ("value", "answers", "outcome"),
    [
        ("a", ("a",), "ok"),
        (["b", "a"], ("b", "a"), "ok"),
        (None, (), "ok"),
        ([], (), "ok"),
        ({"a", "b"}, (), "unusable"),
        (7, (), "unusable"),
        (["a", 7], (), "unusable"),
    ],
)
async def test_what_a_rule_says_is_an_arm_or_an_order_or_nothing(value, answers, outcome):
    """A set has no first arm; what cannot be used is said, and answers nothing."""
    declared = with_rules(None, Rules(Path("rules.py"), answer={"rule": lambda: value}), 0.05)
    _, look = await first_look(declared)
    assert look.answers == ((("rule", answers),) if answers else ())
    assert look.outcomes == {"rule": outcome}


async def test_a_rule_that_fails_answers_nothing_and_says_so(folder, caplog):
    """The decision goes on without it; each time is counted, and the first is told with its reason."""
    declared = with_rules(None, Rules(folder, answer={"broken": lambda context: context["no"]}), 0.05)
    counted = []
    mishaps = Mishaps(lambda *what: counted.append(what))
    for _ in range(3):
        _, look = await first_look(declared, mishaps=mishaps)
    assert (look.answers, look.outcomes) == ((), {"broken": "failed"})
    assert counted == [("broken", "failed")] * 3
    assert [line for line in caplog.messages if "broken" in line and "'no'" in line] == caplog.messages


async def test_a_rule_that_sleeps_is_named_since_it_holds_up_everybody(caplog):
    """Plain functions run on the event loop; nobody can interrupt them."""
    rule = Rules(Path("rules.py"), answer={"sleepy": lambda: time.sleep(0.06)})
    await first_look(with_rules(None, rule, 0.05), mishaps=Mishaps())
    assert [line[:31] for line in caplog.messages] == ["sleepy: held the event loop for"]


@pytest.mark.parametrize(
    ("arms", "outcome", "told"), [("unheard-of", "not_eligible", 1), (["b", "unheard-of"], "not_eligible", 0)]
)
async def test_a_rule_that_answers_with_nothing_eligible_is_not_heard(folder, caplog, arms, outcome, told):
    """The next one is; and a name that is no arm of the catalogue is told, for it is a slip of the pen."""
    rules = Rules(
        folder,
        answer={"slip": lambda: arms, "gift": lambda: "c"},
        exclude={"dear": lambda: {"b": "too dear"}},
    )
    _, look = await first_look(with_rules(None, rules, 0.05), mishaps=Mishaps())
    assert look.answers == (("gift", ("c",)),)
    assert look.outcomes == {"slip": outcome, "gift": "ok", "dear": "ok"}
    assert sum("slip: answers with 'unheard-of', which is no arm" in line for line in caplog.messages) == told


async def test_nothing_is_asked_twice_when_the_shared_part_is_late():
    """What the other part came to is known already."""
    asked = []

    @fetch(timeout=5.0, fallback=None)
    async def stock(shelf: asyncio.Event) -> dict[str, str] | None:
        await shelf.wait()
        return {}

    def sold_out(stock: dict[str, str] | None) -> dict[str, str]:
        return {"a": "nobody knows"} if stock is None else stock

    def gift(unit_id: str) -> str | None:
        asked.append(unit_id)
        return "b"

    class Shop(TypedDict):
        unit_id: str
        shelf: asyncio.Event

    own = Declared(Graph(Shop, stock, sold_out), goals=("stock",), first_look=("sold_out",))
    declared = with_rules(own, Rules(Path("rules.py"), answer={"gift": gift}), 100.0)
    clock = asyncio.get_running_loop().time
    source = FeatureSource(declared, {"shelf": asyncio.Event()}, clock, 10.0)
    request = RecommendationRequest(session_id="s")
    look = await source.first_look(request, eligible(request, SHELF), clock() + 0.5)
    assert (look.answers, look.excluded) == ((("gift", ("b",)),), {"a": "nobody knows"})
    assert asked == ["s"]


def test_an_answer_is_cut_to_what_may_be_chosen():
    """In the rule's order, each once; excluded and unheard-of arms do not matter."""
    request = RecommendationRequest(session_id="s", arms=["a", {"id": "b"}, "c"])
    request = msgspec.convert(msgspec.to_builtins(request), RecommendationRequest)
    left = without(eligible(request, SHELF), {"b": "sold out"})
    found = only(left, ["x", "c", "b", "a", "c"])
    assert (found.ids, found.places, found.logged) == (("c", "a"), (2, 0), ("c", "a"))
    assert found.excluded == {"b": "sold out"}
    assert only(left, ["b", "x"]) is None


def test_an_answer_keeps_the_features_that_the_request_gave():
    """Of the arms that it names."""
    asked = {"session_id": "s", "arms": ["a", {"id": "new", "features": {"sale": True}}]}
    found = only(eligible(msgspec.convert(asked, RecommendationRequest), SHELF), ["new"])
    assert found.arms == (Arm("new", {"sale": True}),)
    assert found.given == {"new": {"sale": True}}


def test_rules_of_segments_are_harmless(folder, caplog):
    """One that fails says no, and is told once; it cannot change what is scored."""
    (folder / "rules.py").write_text(
        FILE + "def eats(context): context.clear()\nasync def slow(context): return True\n"
    )
    rules = load_rules(folder, RulesConfig(segments=("night", "eats"))).segments
    context = {"hour": 21.0}
    assert rules["night"](context) is True
    assert [rules["night"]({}) for _ in range(3)] == [False] * 3
    assert sum("night failed: KeyError" in line for line in caplog.messages) == 1
    assert rules["eats"](context) is False
    assert context == {"hour": 21.0}
    with pytest.raises(BadApplication, match="'slow', a rule of segments, is `async`"):
        load_rules(folder, RulesConfig(segments=("slow",)))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (RulesConfig(answer=("unheard",)), r"no rule 'unheard'; functions there: dear, gift, night, order"),
        (RulesConfig(exclude=("SEASON",)), r"'SEASON' is a str; legal: a function"),
        (RulesConfig(file="no.py", answer=("gift",)), r"no.py does not exist: `file` in \[rules\]"),
    ],
)
def test_a_config_whose_rules_do_not_exist_is_refused(folder, config, said):
    """At the start, by the name of the file and of the rule."""
    with pytest.raises(BadApplication, match=said):
        load_rules(folder, config)


def test_rules_that_cannot_be_asked_first_are_refused():
    """One that needs the arms that are left, one that is slow, one that is called like a node."""
    own = Declared(Graph(Given, member), goals=("member",))
    file = Path("rules.py")
    with pytest.raises(BadApplication, match="needs 'colour', which is neither a node nor an input"):
        with_rules(own, Rules(file, answer={"by_colour": lambda colour: colour}), 50.0)
    with pytest.raises(BadApplication, match=r"first_look: .*20% of deadline_ms"):
        with_rules(own, Rules(file, answer={"late": members_choice}), 10.0)
    with pytest.raises(BadApplication, match="rule 'member' is also a node"):
        with_rules(own, Rules(file, exclude={"member": members_choice}), 50.0)
    with pytest.raises(BadApplication, match="first_look"):
        with_rules(None, Rules(file, exclude={"left": lambda arms: arms}), 0.05)


def test_an_application_without_rules_reads_no_file(tmp_path):
    assert load_rules(tmp_path, RulesConfig()) == Rules(tmp_path / "rules.py")
    assert with_rules(None, Rules(tmp_path), 0.05) is None


def test_a_rule_stands_once():
    with pytest.raises(ValueError, match="'gift' stands twice"):
        RulesConfig(answer=("gift",), exclude=("gift",))
