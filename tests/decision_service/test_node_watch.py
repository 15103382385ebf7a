"""What is seen of the feature graph's nodes: some runs a second, of the last minute or two, told together."""

from __future__ import annotations

import asyncio
from typing import TypedDict

import msgspec
import pytest

from decision_service.node_watch import HALF_S, LOOK_EVERY_S, NodeWatch
from feature_graph import Graph, fetch
from sidecar.contracts import keys
from sidecar.contracts.node_report import (
    NodeReport,
    NodeSeen,
    decode_reports,
    level_of,
    nodes_call,
    quantile_of,
    together,
)
from sidecar.contracts.store import Scripts


class Given(TypedDict):
    name: str


@fetch(timeout=1.0)
async def age(name: str) -> int:
    return {"ann": 40}[name]


def old(age: int) -> bool:
    return age > 30


GRAPH = Graph(Given, age, old)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def run(name, goals="old"):
    return asyncio.run(GRAPH.resolve(goals, given={"name": name}))


@pytest.fixture
def clock():
    return Clock()


def test_a_few_runs_a_second_are_looked_at_of_each_kind(clock):
    """Two looks at once are of other goals; the next at the same comes when its time has."""
    watch = NodeWatch(clock, lambda: 7)
    for goals in ("old", "age", "old", "age"):
        watch.look(run("ann", goals))
    assert watch.report().runs == 2
    clock.now += LOOK_EVERY_S
    watch.look(run("ann"))
    report = watch.report()
    assert (report.runs, report.nodes["age"].outcomes, report.nodes["old"].outcomes) == (
        3,
        {"ok": 3},
        {"ok": 2},
    )
    assert (report.nodes["age"].last_status, report.nodes["age"].last_at_ms) == ("ok", 7)


def test_a_failure_is_told_until_another_one_comes(clock):
    """What hangs on it has failed too, and says behind whom."""
    watch = NodeWatch(clock, lambda: 7)
    watch.look(run("bob"))
    clock.now += 1
    watch.look(run("ann"))
    nodes = watch.report().nodes
    assert nodes["age"].outcomes == {"failed": 1, "ok": 1}
    assert "KeyError: 'bob'" in nodes["age"].trouble
    assert nodes["old"].outcomes == {"upstream_failed": 1, "ok": 1}


def test_what_is_older_than_two_minutes_is_forgotten_but_for_the_last(clock):
    watch = NodeWatch(clock, lambda: 7)
    watch.look(run("ann"))
    clock.now += HALF_S
    watch.look(run("ann"))
    assert watch.report().runs == 2
    clock.now += HALF_S
    assert watch.report().runs == 1
    clock.now += 10 * HALF_S
    report = watch.report()
    assert (report.runs, report.nodes["age"].outcomes, report.nodes["age"].last_status) == (0, {}, "ok")


def test_services_are_told_together(store):
    """Counts are added, the latest of them says what was last; foreign bytes are nobody's."""
    scripts = Scripts.on(store)
    one = NodeReport({"a": NodeSeen({"ok": 2}, {level_of(1.0): 2}, 1.0, "ok", 5)}, 2)
    other = NodeReport(
        {"a": NodeSeen({"ok": 1, "failed": 1}, {level_of(9.0): 2}, 9.0, "failed", 4, "no", 4)}, 2
    )
    scripts.run(nodes_call("x", "one", one))
    scripts.run(nodes_call("x", "other", other))
    store.hset(keys.nodes("x"), "third", b"\xff|{")
    store.hset(keys.nodes("x"), "fourth", b"9|{}")
    store.hset(keys.nodes("x"), "gone", b"1700000000000|" + msgspec.json.encode(one))
    reports = decode_reports(store.hgetall(keys.nodes("x")))
    assert reports == {"one": one, "other": other}
    all_of_them = together(reports.values())
    seen = all_of_them.nodes["a"]
    assert (all_of_them.runs, seen.outcomes, seen.last_status, seen.trouble) == (
        4,
        {"ok": 3, "failed": 1},
        "ok",
        "no",
    )
    assert (quantile_of(seen.took, 0.5), quantile_of(seen.took, 0.99)) == pytest.approx((1.0, 9.0), rel=0.03)


def test_the_store_is_told_what_is_new_and_now_and_then_that_nothing_is(clock):
    """A service that stands still stays on the list, and its counts go down to none."""
    watch, told = NodeWatch(clock, lambda: 7), []

    class Kept:
        async def run(self, call):
            told.append(call)

    def tell():
        asyncio.run(watch.tell(Kept(), "x", "one"))
        return len(told)

    watch.look(run("ann"))
    assert [tell(), tell()] == [1, 1]
    clock.now += 2 * HALF_S
    assert [tell(), tell()] == [2, 2]
    clock.now += HALF_S
    assert [tell(), tell()] == [3, 3]
