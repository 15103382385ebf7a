"""A run written down as JSON, and run again without a fetch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypedDict
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_graph import BadRun, Graph, Outcome, Status, batch, branch, each, fetch, first_of, lookup
from feature_graph.errors import BadRecording, ElementFailed, FetchTimedOut, NotRecorded, Recorded
from feature_graph.plain import Form
from feature_graph.recording import record
from feature_graph.recording_json import from_json, to_json
from feature_graph.replay import replay
from tests.feature_graph.random_graphs import cases
from tests.feature_graph.virtual_time import never, run

GOLDEN = Path(__file__).parent / "golden"


class Client:
    """What JSON has no form for."""


class Given(TypedDict):
    user: str
    arms: list[str]
    client: Client


class Gone(Exception):
    pass


@fetch(timeout=0.05)
async def profile(user: str, client: Client) -> dict[str, int]:
    return {"visits": 3}


@fetch(timeout=0.05, fallback=0.5)
async def score(user: str, client: Client) -> float:
    await never()


@fetch()
async def broken(user: str) -> float:
    raise Gone("the shop is gone")


@fetch()
async def after_broken(broken: float) -> float:
    return broken


@batch()
async def prices(keys: Sequence[str], client: Client) -> Mapping[str, float]:
    return {key: len(key) / 10 for key in keys}


def is_new(profile: dict[str, int]) -> bool:
    return profile["visits"] == 0


def worth(price: list[float], chosen: float, broken: float = 1.0) -> float:
    return sum(price) * chosen * broken


def why(broken: Outcome[float], score: Outcome[float]) -> list[str]:
    return [str(broken.error), type(score.error).__name__]


NODES = {
    "profile": profile,
    "score": score,
    "broken": broken,
    "after_broken": after_broken,
    "is_new": is_new,
    "worth": worth,
    "why": why,
    "chosen": branch("is_new", then="broken", otherwise="score"),
    "price": each(lookup(prices, key="arm"), over="arms", element="arm"),
    "best": first_of("after_broken", "score"),
}
GOALS = ["worth", "why", "best", "after_broken", "profile"]
GIVEN = {"user": "ann", "arms": ["a", "bcd"], "client": Client()}


def chaotic(**changed):
    """The same graph with fetches that raise if anything calls them."""

    async def never_called(*_):
        pytest.fail("a replay called a fetch")

    graph = Graph(Given, **{**NODES, **changed})
    for name, node in graph.nodes.items():
        for attribute in ("call", "batch", "function"):
            if name in {"profile", "score", "broken", "after_broken", "price"} and hasattr(node, attribute):
                object.__setattr__(node, attribute, never_called)
    return graph


def the_run():
    graph = Graph(Given, **NODES)
    return run(lambda: graph.resolve(GOALS, given=GIVEN))


def test_a_replay_calls_no_fetch_and_says_the_same():
    """Values and words of every goal; the same from JSON; no event loop runs here."""
    found = the_run()
    recording = record(found)

    for told in (recording, from_json(to_json(recording))):
        again = replay(chaotic(), told)
        assert again.values == found.values
        assert again.statuses == found.statuses
        assert all(again.outcomes[name].status == found.outcomes[name].status for name in found.nodes)


def test_it_works_inside_a_running_loop_too():
    """The caller's loop is not touched."""
    recording = record(the_run())

    async def inside():
        return replay(chaotic(), recording)

    assert asyncio.run(inside()).values["profile"] == {"visits": 3}


def test_a_new_derived_feature_is_tried_on_what_was_recorded():
    """With a default of its own for what failed, and a rule of the branch that has changed."""

    def boldness(score: float, profile: dict[str, int]) -> float:
        return score * profile["visits"]

    def is_new(profile: dict[str, int]) -> bool:
        return profile["visits"] < 10

    graph = chaotic(boldness=boldness, is_new=is_new)
    found = replay(graph, from_json(to_json(record(the_run()))), ["boldness", "chosen"])

    assert found["boldness"] == 1.5
    assert found.outcomes["chosen"].via == "broken"
    assert found.outcomes["chosen"].status is Status.UPSTREAM_FAILED


def test_a_fetch_that_was_never_asked_has_failed_and_says_so():
    """Nobody knows what it would have said."""
    found = the_run()

    @fetch(fallback=1.0)
    async def fresh(user: str, client: Client) -> float:
        pytest.fail("a replay called a fetch")

    def uses(fresh: float) -> float:
        return fresh

    again = replay(chaotic(fresh=fresh, uses=uses), record(found), ["uses", "fresh"])

    assert again.statuses == {"uses": "upstream_failed", "fresh": "failed"}
    assert isinstance(again.outcomes["uses"].error, NotRecorded)
    assert str(again.outcomes["fresh"].error).startswith("'fresh' is not in the recording")


def test_inputs_that_are_not_plain_are_left_out_and_can_be_handed_in():
    """A client is never written down; a derived node that reads it needs it again."""

    def name_of(client: Client) -> str:
        return type(client).__name__

    recording = record(the_run())
    graph = chaotic(name_of=name_of)

    assert recording.left_out == ("client",)
    assert isinstance(replay(graph, recording, "name_of").outcomes["name_of"].error, NotRecorded)
    assert replay(graph, recording, "name_of", given={"client": Client()})["name_of"] == "Client"
    assert replay(graph, recording, "chosen", given={"score": 9.0})["chosen"] == 9.0


def test_a_goal_or_an_input_that_is_not_there_is_told():
    recording = record(the_run())

    with pytest.raises(BadRun, match="nearest: 'worth'"):
        replay(chaotic(), recording, "wort")


def test_two_looks_are_told_as_one():
    """What the first look fetched is handed to the second as outcomes, and is recorded once."""
    graph = Graph(Given, **NODES)

    async def looks():
        first = await graph.resolve("is_new", given=GIVEN)
        return first, await graph.resolve(GOALS, given={**GIVEN, **first.settled})

    first, second = run(looks)

    again = replay(chaotic(), record(first, second), GOALS)
    assert again.values == second.values
    assert again.statuses == second.statuses


def test_errors_come_back_as_what_they_were_if_they_are_ours_or_pythons():
    """Others keep their name and their words."""

    @fetch()
    async def key(user: str) -> int:
        return {}[user]

    @fetch(timeout=0.01)
    async def slow(user: str) -> int:
        await never()

    async def one(arm: str) -> int:
        raise OSError(13, "no entry", arm)

    graph = Graph(Given, key, slow, broken, every=each(one, over="arms"))
    found = run(lambda: graph.resolve(["key", "slow", "broken", "every"], given=GIVEN))

    again = replay(graph, from_json(to_json(record(found))))

    errors = {name: again.outcomes[name].error for name in again.goals}
    assert {name: type(error) for name, error in errors.items()} == {
        "key": KeyError,
        "slow": FetchTimedOut,
        "broken": Recorded,
        "every": ElementFailed,
    }
    assert {name: str(error) for name, error in errors.items()} == {
        name: str(found.outcomes[name].error) for name in found.goals
    }
    assert errors["every"].position == 0
    assert errors["broken"].kind.endswith("test_recording.Gone")


def test_the_timeline_and_what_fetches_told_are_kept():
    found = the_run()
    kept = from_json(to_json(record(found)))

    assert [(span.name, span.status) for span in kept.timeline] == [
        (s.name, s.status) for s in found.timeline
    ]
    assert kept.fetched["price"].notes["elements"] == 2


@dataclass
class Money:
    amount: int
    currency: str


@dataclass
class Odd:
    name: str


class Colour(str):
    pass


def recorded_value(value, forms=None):
    @fetch()
    async def thing(user: str):
        return value

    found = run(lambda: Graph(Given, thing).resolve("thing", given=GIVEN))
    return from_json(to_json(record(found), forms or {}), forms or {}).fetched["thing"].value


VALUES = [
    None,
    True,
    -7,
    10**40,
    0.1,
    float("inf"),
    'ж\n"\\\u2028',
    b"\x00\xff",
    (1, (2, [3])),
    {1: "a", (2, 3): {"b": None}},
    {"$": "a key like our mark", "is": 2},
    {frozenset({1, 2}), 3},
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    date(2026, 1, 2),
    timedelta(days=-1, microseconds=3),
    Decimal("1.10"),
    UUID(int=5),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_come_back_as_they_went(value):
    """Type and all: a tuple is no list, and 1 is not "1"."""
    back = recorded_value(value)

    assert back == value
    assert type(back) is type(value)


@settings(max_examples=120, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: (
            st.lists(inner)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text() | st.integers() | st.just("$"), inner)
        ),
        max_leaves=12,
    )
)
def test_any_plain_value_comes_back_as_it_went(value):
    assert repr(recorded_value(value)) == repr(value)


def test_own_types_are_written_in_a_form_of_their_own():
    forms = {"money": Form(Money, asdict, lambda told: Money(**told))}

    assert recorded_value([Money(3, "EUR")], forms) == [Money(3, "EUR")]


@pytest.mark.parametrize("value", [Odd("x"), Colour("red"), [Odd("x")]], ids=["object", "subtype", "inside"])
def test_a_value_without_a_form_is_refused_by_name(value):
    with pytest.raises(BadRecording, match=r"'thing' cannot be written: JSON has no form for a .*bring one"):
        recorded_value(value)


def test_a_value_inside_itself_is_refused():
    ring = []
    ring.append(ring)

    with pytest.raises(BadRecording, match="'thing' is nested too deeply, or in itself"):
        recorded_value(ring)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is no recording"),
        ("[]", "of format None; legal: 1"),
        ('{"format": 2}', "of format 2; legal: 1"),
        ('{"format": 1}', "this is no recording: KeyError: 'goals'"),
        (
            '{"format": 1, "goals": [], "given": {"a": {"$": "odd", "is": 1}}, "fetched": {}}',
            "form 'odd'; known",
        ),
        (
            '{"format": 1, "goals": [], "given": {}, "fetched": {"a": {"status": "odd"}}}',
            "'odd' is not a valid",
        ),
        (
            '{"format": 1, "goals": [], "given": {}, "fetched": {"a": {"status": "ok", "notes": 1}}}',
            "an object",
        ),
        ("[" * 100_000, "this is no recording"),
    ],
)
def test_what_is_no_recording_is_refused(text, message):
    with pytest.raises(BadRecording, match=message):
        from_json(text)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("recording_*.json")), ids=lambda path: path.stem)
def test_what_was_written_once_is_read_for_ever(path):
    """Golden bytes of every format so far; fields that are not known are passed over."""
    recording = from_json(path.read_bytes())
    found = replay(chaotic(), recording)

    assert found.statuses == {
        "worth": "ok",
        "why": "ok",
        "best": "fallback",
        "after_broken": "upstream_failed",
        "profile": "ok",
    }
    assert found["why"] == ["the shop is gone", "FetchTimedOut"]
    assert found["worth"] == pytest.approx(0.2)
    assert recording.timeline[0].start_s == 0
    later = json.loads(path.read_text()) | {"something": "new"}
    assert from_json(json.dumps(later)) == recording


def test_the_newest_golden_text_is_what_is_written_today():
    """Whoever changes what is written adds a golden file, and never changes an old one."""
    newest = sorted(GOLDEN.glob("recording_*.json"))[-1].read_text()
    assert to_json(from_json(newest)) + "\n" == newest
    assert json.loads(to_json(record(the_run()))).keys() == json.loads(newest).keys()


def test_deep_graphs_do_not_recurse():
    @fetch()
    async def n0(user: str) -> int:
        return 0

    nodes = {"n0": n0}
    for number in range(1, 3_000):
        space = {}
        exec(f"def link(n{number - 1}): return n{number - 1} + 1", space)
        nodes[f"n{number}"] = space["link"]
    graph = Graph(Given, **nodes)
    recording = record(run(lambda: graph.resolve("n2999", given=GIVEN)))

    assert replay(graph, recording)["n2999"] == 2_999


@settings(max_examples=150, deadline=None)
@given(case=cases(), deadline=st.sampled_from([None, None, None, 0, 3]))
def test_any_run_is_replayed_word_for_word(case, deadline):
    """Failures, timeouts, fallbacks, branches, handed-in nodes: through JSON, with nothing called."""
    found = run(lambda: case.graph.resolve(case.goals, given=case.given, deadline=deadline))
    recording = from_json(to_json(record(found)))
    fetched = {name for name, node in case.graph.nodes.items() if type(node).__name__ != "Derived"}
    case.calls.clear()

    again = replay(case.graph, recording)

    assert not fetched & case.calls.keys()
    assert again.values == found.values
    assert again.statuses == found.statuses
    for name in case.graph:
        was, became = found.outcomes[name], again.outcomes[name]
        # A run spares what nobody needs any more, and so may a replay; else they agree.
        if not {was.status, became.status} & {Status.NOT_NEEDED, Status.CANCELLED}:
            assert (name, became.status, became.value, became.via) == (name, was.status, was.value, was.via)
            if name in recording.fetched:  # what follows from two failures may tell of either
                assert (str(became.error), became.root) == (str(was.error), was.root)
