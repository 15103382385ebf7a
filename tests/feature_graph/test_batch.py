"""Many keys, one call. (49) of the list of edge cases, and the tenth promise."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypedDict

import pytest

from feature_graph import (
    BadBatch,
    BadGraph,
    FetchCancelled,
    FetchTimedOut,
    Graph,
    KeyMissing,
    StandIn,
    Status,
    batch,
    fetch,
    lookup,
    note,
    remaining,
    wire,
)
from tests.feature_graph.virtual_time import never, run


class Given(TypedDict, total=False):
    a: Any
    b: Any
    c: Any
    table: Mapping[str, object]


class Shop:
    """A batch that notes the keys of every call."""

    def __init__(self, answer=None, **options):
        self.calls: list[list[object]] = []
        self.running = self.cancelled = 0

        @batch(**options)
        async def merchants(ids):
            self.calls.append(list(ids))
            self.running += 1
            try:
                await asyncio.sleep(1)
                return {key: f"merchant {key}" for key in ids} if answer is None else answer(ids)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.running -= 1

        self.merchants = merchants

    def at(self, key):
        return lookup(self.merchants, key=key)


@pytest.fixture(params=["resolve", "resolve_in_order"])
def resolve(request):
    def go(graph, goals, given, **options):
        return run(lambda: getattr(graph, request.param)(goals, given=given, **options))

    return go


def concurrently(graph, goals, given, **options):
    return run(lambda: graph.resolve(goals, given=given, **options))


def test_all_keys_of_a_run_share_one_call():
    """(49)"""
    shop = Shop()
    graph = Graph(Given, x=shop.at("a"), y=shop.at("b"), z=shop.at("c"))
    found = concurrently(graph, ["x", "y", "z"], {"a": 1, "b": 2, "c": 3})
    assert found.values == {"x": "merchant 1", "y": "merchant 2", "z": "merchant 3"}
    assert shop.calls == [[1, 2, 3]]
    assert found.outcomes["y"].notes == {"batch": 3}


def test_the_same_key_is_asked_for_once_and_a_known_one_not_again():
    """(49) Duplicates collapse, also where the second one comes when the first is long there."""
    shop = Shop()

    async def later(x: str) -> str:
        await asyncio.sleep(5)
        return "1"

    graph = Graph(Given, later, x=shop.at("a"), y=shop.at("b"), again=shop.at("later"))
    found = concurrently(graph, ["x", "y", "again"], {"a": "1", "b": "1"})
    assert found.values == dict.fromkeys(("x", "y", "again"), "merchant 1")
    assert shop.calls == [["1"]]


def test_a_key_that_is_wanted_while_its_call_is_under_way_joins_it():
    shop = Shop()

    async def halfway(a: str) -> str:
        await asyncio.sleep(0.5)
        return a

    graph = Graph(Given, halfway, x=shop.at("a"), y=shop.at("halfway"))
    assert concurrently(graph, ["x", "y"], {"a": "1"}).values == {"x": "merchant 1", "y": "merchant 1"}
    assert shop.calls == [["1"]]


@pytest.mark.parametrize("hops", [0, 1, 5, 20])
def test_keys_that_take_a_few_turns_more_still_come_along(hops):
    """A window of loop turns would split here; the run waits until none of its tasks can move."""
    shop = Shop()

    async def slower(b: str) -> str:
        for _ in range(hops):
            await asyncio.sleep(0)
        return b

    def one_more(slower: str) -> str:
        return slower

    graph = Graph(Given, slower, one_more, x=shop.at("a"), y=shop.at("one_more"))
    concurrently(graph, ["x", "y"], {"a": "1", "b": "2"})
    assert shop.calls == [["1", "2"]]


def test_a_fetch_that_spins_does_not_hold_a_batch_back_for_ever():
    shop = Shop()

    async def spinning(x: str = "") -> str:
        while not shop.calls:  # noqa: ASYNC110 - it is there to spin
            await asyncio.sleep(0)
        return "done"

    graph = Graph(Given, spinning=wire(spinning, x="b"), x=shop.at("a"))
    found = concurrently(graph, ["x", "spinning"], {"a": "1", "b": ""})
    assert found.values == {"x": "merchant 1", "spinning": "done"}


def test_what_waits_for_the_outside_does_not_hold_a_batch_back():
    shop = Shop()

    async def slow(b: str) -> float:
        await asyncio.sleep(100)
        return asyncio.get_running_loop().time()

    graph = Graph(Given, slow, x=shop.at("a"))
    found = concurrently(graph, ["x", "slow"], {"a": "1", "b": ""})
    assert next(span.end_s for span in found.timeline if span.name == "x") == 1.0


def test_more_keys_than_one_call_takes_become_several():
    """(49)"""
    shop = Shop(max=2)
    graph = Graph(Given, x=shop.at("a"), y=shop.at("b"), z=shop.at("c"))
    found = concurrently(graph, ["x", "y", "z"], {"a": 1, "b": 2, "c": 3})
    assert shop.calls == [[1, 2], [3]]
    assert [found.outcomes[name].notes["batch"] for name in "xyz"] == [2, 2, 1]
    assert max(span.end_s for span in found.timeline) == 1.0


def test_a_missing_key_fails_alone(resolve):
    """(49)"""
    shop = Shop(lambda ids: {key: key for key in ids if key != "b"})
    graph = Graph(Given, x=shop.at("a"), y=shop.at("b"))
    found = resolve(graph, ["x", "y"], {"a": "a", "b": "b"})
    assert found["x"] == "a"
    error = found.outcomes["y"].error
    assert isinstance(error, KeyMissing)
    assert str(error) == "the batch 'y' gave no value for the key 'b'" or "gave no value" in str(error)


def test_a_key_may_have_its_own_error(resolve):
    """An exception as a value is that key's failure."""
    shop = Shop(lambda ids: {key: ValueError(key) if key == "b" else key for key in ids})
    graph = Graph(Given, x=shop.at("a"), y=shop.at("b"))
    found = resolve(graph, ["x", "y"], {"a": "a", "b": "b"})
    assert found.statuses == {"x": "ok", "y": "failed"}
    assert isinstance(found.outcomes["y"].error, ValueError)


def test_a_key_may_have_a_stand_in(resolve):
    shop = Shop(lambda ids: {key: StandIn(key, KeyError("old")) for key in ids})
    found = resolve(Graph(Given, x=shop.at("a")), ["x"], {"a": "a"})
    assert (found["x"], found.statuses, found.degraded("x")) == ("a", {"x": "fallback"}, ("x",))


@pytest.mark.parametrize("rubbish", [None, ["a"], 7, "a"])
def test_rubbish_is_told_as_rubbish(resolve, rubbish):
    """(49) A list in the order of the keys would be easy to get wrong: only a mapping is legal."""
    shop = Shop(lambda ids: rubbish)
    error = resolve(Graph(Given, x=shop.at("a")), ["x"], {"a": "a"}).outcomes["x"].error
    assert isinstance(error, BadBatch)
    assert type(rubbish).__name__ in str(error)


def test_a_key_that_cannot_be_one_fails_alone(resolve):
    """(49)"""
    shop = Shop()
    graph = Graph(Given, x=shop.at("a"), y=shop.at("b"))
    found = resolve(graph, ["x", "y"], {"a": ["no"], "b": "1"})
    assert isinstance(found.outcomes["x"].error, BadBatch)
    assert found["y"] == "merchant 1"


def test_an_error_of_the_batch_is_every_keys_and_is_not_kept():
    """(49) Who asks again, in the same run, is not answered with the old failure."""
    tries = []

    @batch()
    async def merchants(ids: Sequence[str]) -> Mapping[str, str]:
        tries.append(list(ids))
        if len(tries) == 1:
            raise OSError("down")
        return {key: key for key in ids}

    async def later(a: str) -> str:
        await asyncio.sleep(1)
        return a

    graph = Graph(
        Given,
        later,
        x=lookup(merchants, key="a"),
        y=lookup(merchants, key="b"),
        again=lookup(merchants, key="later"),
    )
    found = concurrently(graph, ["x", "y", "again"], {"a": "1", "b": "2"})
    assert found.statuses == {"x": "failed", "y": "failed", "again": "ok"}
    assert found.outcomes["x"].error is found.outcomes["y"].error
    assert tries == [["1", "2"], ["1"]]


def test_the_traceback_of_a_shared_error_does_not_grow():
    """(38)"""

    @batch()
    async def merchants(ids: Sequence[str]) -> Mapping[str, str]:
        raise OSError("down")

    keys = {f"k{n}": "1" for n in range(20)}
    names = TypedDict("names", dict.fromkeys(keys, str))  # type: ignore[misc]
    graph = Graph(names, **{f"n{n}": lookup(merchants, key=f"k{n}") for n in range(20)})
    found = concurrently(graph, list(graph), keys)
    assert len(traceback.extract_tb(found.outcomes["n19"].error.__traceback__)) <= 6


@pytest.mark.parametrize("options", [{"fallback": "nobody"}, {"fallback": lambda error: "nobody"}])
def test_a_fallback_is_for_one_key(resolve, options):
    shop = Shop(lambda ids: {key: key for key in ids if key == "a"}, **options)
    graph = Graph(Given, x=shop.at("a"), y=shop.at("b"))
    found = resolve(graph, ["x", "y"], {"a": "a", "b": "b"})
    assert found.values == {"x": "a", "y": "nobody"}
    assert found.statuses == {"x": "ok", "y": "fallback"}


def test_a_key_waits_no_longer_than_its_timeout_and_the_call_is_ended(resolve):
    shop = Shop(timeout=0.5)
    graph = Graph(Given, x=shop.at("a"), y=shop.at("b"))
    found = resolve(graph, ["x", "y"], {"a": "a", "b": "b"})
    assert isinstance(found.outcomes["x"].error, FetchTimedOut)
    assert shop.running == 0
    assert shop.cancelled == len(shop.calls)


def test_who_gives_up_leaves_the_others_their_call():
    """(49) The key that nobody needs any more is let go, and the call goes on for the other."""
    shop = Shop()

    async def bad(c: str) -> str:
        await asyncio.sleep(0.5)
        raise OSError("down")

    def both(x: str, bad: str) -> str:
        return x + bad

    graph = Graph(Given, bad, both, x=shop.at("a"), y=shop.at("b"))
    found = concurrently(graph, ["both", "y"], {"a": "1", "b": "2", "c": ""})
    assert found["y"] == "merchant 2"
    assert found.outcomes["x"].status is Status.CANCELLED
    assert (shop.calls, shop.cancelled) == ([["1", "2"]], 0)


def test_the_last_who_gives_up_ends_the_call():
    """(49)"""
    shop = Shop()

    async def bad(c: str) -> str:
        await asyncio.sleep(0.5)
        raise OSError("down")

    def all_of(x: str, y: str, bad: str) -> str:
        return x + y + bad

    graph = Graph(Given, bad, all_of, x=shop.at("a"), y=shop.at("b"))
    concurrently(graph, ["all_of"], {"a": "1", "b": "2", "c": ""})
    assert (len(shop.calls), shop.cancelled, shop.running) == (1, 1, 0)


def test_keys_that_nobody_wants_any_more_are_not_asked_for():
    """(49) All gave up before the call: it is never made."""
    shop = Shop()

    async def bad(c: str) -> str:
        raise OSError("down")

    def both(x: str, bad: str) -> str:
        return x + bad

    graph = Graph(Given, bad, both, x=shop.at("a"))
    concurrently(graph, ["both"], {"a": "1", "c": ""})
    assert shop.calls == []


def test_a_deadline_ends_the_call_and_nothing_is_left():
    shop = Shop()
    found = concurrently(Graph(Given, x=shop.at("a")), ["x"], {"a": "1"}, deadline=0.25)
    assert found.outcomes["x"].status is Status.TIMED_OUT
    assert (shop.cancelled, shop.running) == (1, 0)


@pytest.mark.parametrize("turns", range(8))
def test_a_caller_who_is_cancelled_leaves_nothing_behind(turns):
    """(39)"""
    shop = Shop()
    graph = Graph(Given, x=shop.at("a"), y=shop.at("b"))

    async def main():
        task = asyncio.ensure_future(graph.resolve(["x", "y"], given={"a": "1", "b": "2"}))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
    assert shop.running == 0


def test_a_batch_that_cancels_itself_has_cancelled_its_keys(resolve):
    """(42)"""

    @batch(fallback=None)
    async def merchants(ids):
        raise asyncio.CancelledError

    outcome = resolve(Graph(Given, x=lookup(merchants, key="a")), ["x"], {"a": "1"}).outcomes["x"]
    assert (outcome.status, outcome.value) == (Status.FALLBACK, None)
    assert isinstance(outcome.error, FetchCancelled)


def test_a_batch_sees_the_callers_context_its_other_edges_and_the_time_left(resolve):
    """(53)"""
    color: ContextVar[str] = ContextVar("color", default="none")
    seen = []

    @batch(timeout=3)
    async def merchants(ids: Sequence[str], *, table: Mapping[str, object]) -> Mapping[str, object]:
        seen.append((color.get(), remaining()))
        color.set("changed")
        note(rows=7)
        return {key: table[key] for key in ids}

    graph = Graph(Given, x=lookup(merchants, key="a"))

    async def main():
        color.set("red")
        found = await graph.resolve(["x"], given={"a": "1", "table": {"1": "one"}}, deadline=2)
        return found, color.get()

    found, after = run(main)
    assert (found["x"], found.outcomes["x"].notes) == ("one", {"rows": 7, "batch": 1})
    assert (seen, after) == ([("red", 2.0)], "red")
    assert resolve(graph, ["x"], {"a": "1", "table": {"1": 1}})["x"] == 1


def test_two_batches_of_one_function_with_other_edges_are_two_calls():
    calls = []

    @batch()
    async def merchants(ids: Sequence[str], table: Mapping[str, object]) -> Mapping[str, object]:
        calls.append((list(ids), table))
        return {key: key for key in ids}

    graph = Graph(Given, x=lookup(merchants, key="a"), y=lookup(merchants, key="b"))
    concurrently(graph, ["x", "y"], {"a": "1", "b": "2", "table": {}})
    assert calls == [(["1", "2"], {})]


def test_runs_do_not_share_calls():
    """Across requests a source batches, not the graph: a run's failures are its own."""
    shop = Shop()
    graph = Graph(Given, x=shop.at("a"))

    async def main():
        await asyncio.gather(*(graph.resolve(["x"], given={"a": key}) for key in "12"))

    run(main)
    assert sorted(shop.calls) == [["1"], ["2"]]


def test_what_is_no_batch_is_refused_with_what_to_write():
    async def plain(ids: Sequence[str]) -> Mapping[str, str]:
        return {}

    @batch()
    async def no_keys() -> Mapping[str, str]:
        return {}

    @batch()
    async def good(ids: Sequence[str]) -> Mapping[str, str]:
        return {}

    @fetch()
    async def single(ids: Sequence[str]) -> Mapping[str, str]:
        return {}

    for declared, words in [
        ({"x": lookup(plain, key="a")}, "marked @batch"),
        ({"x": lookup(single, key="a")}, "marked @batch"),
        ({"x": lookup(no_keys, key="a")}, "takes no keys"),
        ({"good": good}, "lookup(good, key=...)"),
        ({"x": lookup(good, key="nowhere")}, "'nowhere'"),
    ]:
        with pytest.raises(BadGraph) as refused:
            Graph(Given, **declared)
        assert words in str(refused.value)
        assert __file__ in str(refused.value)
    for legal in (0, -1, 1.5, True):
        with pytest.raises(BadGraph, match="max is"):
            batch(max=legal)
    with pytest.raises(BadGraph, match="has no name"):
        Graph(Given, lookup(good, key="a"))


def test_a_batch_that_never_answers_is_cancelled_at_the_deadline(resolve):
    @batch()
    async def merchants(ids):
        await never()

    outcome = resolve(Graph(Given, x=lookup(merchants, key="a")), ["x"], {"a": 1}, deadline=5).outcomes["x"]
    assert outcome.status is Status.TIMED_OUT
