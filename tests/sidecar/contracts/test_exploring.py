"""How an application explores: which decisions a segment has, and that a change is made in one step."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.contracts import keys
from sidecar.contracts.application import Exploration, ExplorationConfig
from sidecar.contracts.errors import BadSegment
from sidecar.contracts.exploring import (
    MOST_SEGMENTS,
    NOTHING_CHANGED,
    Exploring,
    Found,
    Segment,
    decode_exploring,
    encode_exploring,
    found_for,
    is_in,
    place_of_unit,
    with_segment,
    without_segment,
)
from sidecar.contracts.exploring_store import change_exploring, explore_call, read_exploring
from sidecar.contracts.store import Scripts

APP = "shop"
OWN = Exploration(epsilon=0.3)
BOLD = ExplorationConfig("squarecb", gamma=40.0, floor=0.001)


def test_an_application_nobody_changed_explores_as_its_file_says(store):
    assert read_exploring(store, APP) == NOTHING_CHANGED
    assert found_for(NOTHING_CHANGED, {}, "u", {}, OWN) == Found("", OWN)


def test_a_segments_decisions_explore_as_it_says_and_all_others_as_everywhere():
    """A segment without an exploration of its own is a label."""
    calm, bold = ExplorationConfig(epsilon=0.01), Segment(name="bold", where={"a": [1.0]}, exploration=BOLD)
    both = Exploring(calm, (bold, Segment(name="label", where={"a": [2.0]})))
    found = [found_for(both, {"a": a}, "u", {}, OWN) for a in (1.0, 2.0, 3.0)]
    assert found == [
        Found("bold", BOLD.as_logged()),
        Found("label", calm.as_logged()),
        Found("", calm.as_logged()),
    ]


def test_the_first_segment_that_a_decision_is_in_is_its_segment():
    segments = tuple(Segment(name=name, where={"a": ["x"]}) for name in ("one", "two"))
    assert found_for(Exploring(None, segments), {"a": "x"}, "u", {}, OWN).segment == "one"
    moved = with_segment(Exploring(None, segments), segments[1], before="one")
    assert found_for(moved, {"a": "x"}, "u", {}, OWN).segment == "two"


@pytest.mark.parametrize(
    ("where", "context", "belongs"),
    [
        ({"a": ["x", "y"]}, {"a": "y"}, True),
        ({"a": ["x"], "b": [True]}, {"a": "x", "b": True}, True),
        ({"a": ["x"], "b": [True]}, {"a": "x"}, False),
        ({"b": [True]}, {"b": 1.0}, False),
        ({"b": [1.0]}, {"b": True}, False),
        ({"b": [1.0]}, {"b": "1"}, False),
        ({}, {}, True),
    ],
)
def test_where_compares_features_as_a_model_tells_them_apart(where, context, belongs):
    """True is a category and 1 a magnitude, whatever Python thinks of them."""
    assert is_in(Segment(name="s", where=where), context, "u", {}) is belongs


def test_a_rule_says_true_and_nothing_else():
    """An unknown rule has no decisions: its application may be rolled out later than its segment."""
    segment = Segment(name="s", rule="late")
    assert is_in(segment, {"hour": 23.0}, "u", {"late": lambda context: context["hour"] > 20})
    assert not is_in(segment, {"hour": 3.0}, "u", {"late": lambda context: context["hour"] > 20})
    assert not is_in(segment, {}, "u", {"late": lambda context: "yes"})
    assert not is_in(segment, {}, "u", {})


def test_shares_of_one_salt_divide_the_units_and_two_salts_are_independent():
    """Of 20,000 units, within five standard errors."""
    units = [f"u-{n}" for n in range(20_000)]
    low, high = (Segment(name="s", salt="a", units_from=f, units_to=t) for f, t in ((0, 0.3), (0.3, 1)))
    other = Segment(name="s", salt="b", units_to=0.5)
    in_low, in_high, in_other = (
        np.array([is_in(segment, {}, unit, {}) for unit in units]) for segment in (low, high, other)
    )
    error = 5 * 0.5 / np.sqrt(len(units))
    assert (in_low ^ in_high).all()
    assert abs(in_low.mean() - 0.3) < error
    assert abs((in_low & in_other).mean() - 0.15) < error
    assert 0.0 <= min(map(place_of_unit, units, ["a"] * len(units))) < 0.001


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"units_from": 0.5, "units_to": 0.5}, "from below to"),
        ({"units_to": 1.5}, "<= 1.0"),
        ({"where": {"a": []}}, "no value"),
        ({"name": "Übel"}, "regex"),
        ({"rule": "os.system"}, "regex"),
        ({"exploration": {"scheme": "logged"}}, "logged"),
        ({"exploration": {"temperature": 0}}, ">= 1e-06"),
        ({"colour": "red"}, "unknown field"),
    ],
)
def test_what_is_no_segment_is_refused(fields, said):
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert({"name": "s", **fields}, Segment)


def test_segments_that_are_not_there_are_named():
    plan = with_segment(NOTHING_CHANGED, Segment(name="one"))
    assert without_segment(plan, "one") == NOTHING_CHANGED
    with pytest.raises(BadSegment, match="'two'; there are: one"):
        without_segment(plan, "two")
    with pytest.raises(BadSegment, match="'two'"):
        with_segment(plan, Segment(name="three"), before="two")
    full = Exploring(None, tuple([Segment(name=f"s{n}") for n in range(MOST_SEGMENTS)]))
    with pytest.raises(BadSegment, match="at most 64"):
        with_segment(full, Segment(name="more"))


def test_a_change_is_there_with_a_notice_and_a_stale_one_is_not(store):
    scripts = Scripts.on(store)
    stale = with_segment(read_exploring(store, APP), Segment(name="a"))
    changed = change_exploring(scripts, APP, lambda now: with_segment(now, Segment(name="b")), "add b")
    assert scripts.run(explore_call(APP, stale, "too late")) == b"STALE"
    assert (changed.revision, read_exploring(store, APP)) == (1, changed)
    _, notice = store.xrevrange(keys.model_notices(APP), count=1)[0]
    assert (notice[b"explore"], notice[b"what"]) == (b"1", b"add b")


def test_a_change_that_was_overtaken_is_worked_out_again(store):
    scripts, seen = Scripts.on(store), []

    def overtaken(now):
        seen.append(now.revision)
        if len(seen) == 1:
            change_exploring(scripts, APP, lambda then: with_segment(then, Segment(name="fast")), "fast")
        return with_segment(now, Segment(name="slow"))

    change_exploring(scripts, APP, overtaken, "slow")
    assert seen == [0, 1]
    assert [one.name for one in read_exploring(store, APP).segments] == ["fast", "slow"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 0.5), st.floats(0, 1)), max_size=8))
def test_any_document_comes_back_as_it_was_stored(segments):
    plan = Exploring(BOLD)
    for name, start, epsilon in segments:
        own = ExplorationConfig(epsilon=epsilon)
        plan = with_segment(plan, Segment(name=name, units_from=start, exploration=own))
    stored = {b"plan": encode_exploring(plan), b"revision": b"3"}
    assert decode_exploring(stored) == Exploring(plan.everywhere, plan.segments, 3)


@pytest.mark.parametrize(
    "stored",
    [
        {b"plan": b"[]", b"revision": b"1"},
        {b"plan": b"{}", b"revision": b"x"},
        {b"plan": b"{}"},
        {b"plan": b'{"segments": [{"name": "a"}, {"name": "a"}]}', b"revision": b"1"},
        {b"plan": b'{"everywhere": {"epsilon": 2}}', b"revision": b"1"},
        {b"plan": b"\xff", b"revision": b"1"},
    ],
)
def test_foreign_bytes_are_no_document(stored):
    with pytest.raises(BadSegment):
        decode_exploring(stored)
