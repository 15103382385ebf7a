"""The timeline of one run tells what it waited for, and how long it would have taken otherwise."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TypedDict

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from feature_graph import BadRun, Graph, Outcome, Status, branch, fetch, first_of
from feature_graph.what_if import critical_path, slack, what_if
from tests.feature_graph.random_graphs import cases
from tests.feature_graph.virtual_time import run


class Given(TypedDict):
    user: str


def sleeper(name, needs, latency_s, *, fails=(), **options):
    """A fetch that takes ``latency_s[name]`` seconds on the clock of its loop."""
    names = ", ".join(needs)
    space = {"asyncio": asyncio, "latency_s": latency_s, "fails": fails, "name": name}
    lines = [
        f"async def {name}({names}):",
        "    await asyncio.sleep(latency_s[name])",
        "    if name in fails: raise ValueError(name)",
        "    return name",
    ]
    exec("\n".join(lines), space)
    return fetch(**options)(space[name])


def resolved(graph, goals, deadline=None):
    return run(lambda: graph.resolve(goals, given={"user": "ann"}, deadline=deadline))


def the_shop(latency_s, fails=()):
    nodes = [
        sleeper("profile", ["user"], latency_s, fails=fails),
        sleeper("visits", ["user"], latency_s, fails=fails),
        sleeper("bureau", ["profile"], latency_s, fails=fails),
        sleeper("risk", ["bureau", "visits"], latency_s, fails=fails),
    ]
    return Graph(Given, *nodes)


LATENCY_S = {"profile": 0.030, "visits": 0.065, "bureau": 0.050, "risk": 0.020}


def test_the_critical_path_is_the_chain_that_made_the_run_that_long():
    found = resolved(the_shop(LATENCY_S), "risk")

    path = critical_path(found)

    assert [leg.name for leg in path] == ["profile", "bureau", "risk"]
    assert path[0].start_s == 0
    assert path[-1].end_s == pytest.approx(0.1)
    assert all(before.end_s == pytest.approx(after.start_s) for before, after in pairwise(path))


def test_a_node_on_the_path_made_quicker_wins_until_another_path_is_the_longest():
    """20 ms off ``profile`` win only 15 ms: then the run waits for ``visits``."""
    found = resolved(the_shop(LATENCY_S), "risk")

    answer = what_if(found, {"profile": -0.02})

    assert answer.faster_s == pytest.approx(0.015)
    assert answer.would_take_s == pytest.approx(0.085)
    told = "had 'profile' been 20.0 ms faster, the run would be 15.0 ms faster: 85.0 ms instead of 100.0 ms"
    assert str(answer) == told


def test_slack_is_what_a_node_could_have_taken_longer():
    found = resolved(the_shop(LATENCY_S), "risk")

    spare = slack(found)

    assert spare == pytest.approx({"profile": 0, "visits": 0.015, "bureau": 0, "risk": 0}, abs=1e-9)
    assert what_if(found, {"visits": 0.015}).faster_s == pytest.approx(0)
    assert what_if(found, {"visits": 0.025}).faster_s == pytest.approx(-0.01)


def test_a_goal_of_its_own_has_a_path_of_its_own():
    found = resolved(the_shop(LATENCY_S), ["risk", "visits"])

    assert [leg.name for leg in critical_path(found, "visits")] == ["visits"]
    assert what_if(found, {"visits": 0.1}).settled_s == pytest.approx({"risk": 0.185, "visits": 0.165})
    with pytest.raises(BadRun, match="'profile' is no goal of this run; goals: risk, visits"):
        critical_path(found, "profile")


def test_a_branch_waits_for_its_condition_and_then_for_its_side():
    latency_s = {"new": 0.010, "fresh": 0.020, "old": 0.5}
    graph = Graph(
        Given,
        *(sleeper(name, ["user"], latency_s) for name in latency_s),
        score=branch("new", then="fresh", otherwise="old"),
    )
    found = resolved(graph, "score")

    assert [leg.name for leg in critical_path(found)] == ["new", "fresh", "score"]
    assert what_if(found, {"new": -0.004, "fresh": 0.001}).faster_s == pytest.approx(0.003)


def test_a_first_of_waits_for_every_choice_that_failed():
    latency_s = {"live": 0.030, "cached": 0.010}
    nodes = [sleeper(name, ["user"], latency_s, fails=("live",)) for name in latency_s]
    found = resolved(Graph(Given, *nodes, best=first_of("live", "cached")), "best")

    assert [leg.name for leg in critical_path(found)] == ["live", "cached", "best"]
    assert what_if(found, {"live": -0.01}).would_take_s == pytest.approx(0.030)


def test_a_failure_is_waited_for_only_until_it_is_known():
    """``risk`` is lost with ``visits``, at 10 ms; what ``bureau`` takes is of no matter."""
    latency_s = {**LATENCY_S, "visits": 0.010}
    found = resolved(the_shop(latency_s, fails=("visits",)), "risk")

    assert found.outcomes["risk"].status is Status.UPSTREAM_FAILED
    assert [leg.name for leg in critical_path(found)] == ["visits", "risk"]
    assert what_if(found, {"visits": 0.005}).would_take_s == pytest.approx(0.015)


def test_what_met_a_timeout_is_told_to_be_uncertain():
    latency_s = {"slow": 0.080, "quick": 0.010}
    graph = Graph(
        Given,
        sleeper("slow", ["user"], latency_s, timeout=0.05, fallback=None),
        sleeper("quick", ["user"], latency_s, timeout=0.05),
    )
    found = resolved(graph, ["slow", "quick"])

    assert what_if(found, {"slow": -0.02}).uncertain == ("slow",)
    assert what_if(found, {"quick": 0.02}).uncertain == ()
    late = what_if(found, {"quick": 0.045})
    assert late.uncertain == ("quick",)
    assert "(unless quick came out otherwise)" in str(late)


def test_what_the_deadline_ended_ends_there_whenever_it_began():
    found = resolved(the_shop(LATENCY_S), "risk", deadline=0.060)

    assert found.outcomes["risk"].status is Status.UPSTREAM_FAILED
    assert what_if(found, {"profile": -0.010}).would_take_s == pytest.approx(0.060)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("nothing", "'nothing' is no node of this graph; legal: "),
        ("user", "'user' is no node of this graph"),
        ("old", "'old' did not run to its end; legal: new, fresh"),
        ("score", "'score' takes no time of its own"),
    ],
)
def test_what_did_not_run_cannot_have_been_quicker(changed, message):
    latency_s = {"new": 0.010, "fresh": 0.020, "old": 0.5}
    graph = Graph(
        Given,
        *(sleeper(name, ["user"], latency_s) for name in latency_s),
        score=branch("new", then="fresh", otherwise="old"),
    )

    with pytest.raises(BadRun, match=message):
        what_if(resolved(graph, "score"), {changed: 0.1})


def test_nothing_asked_is_nothing_waited_for():
    found = resolved(the_shop(LATENCY_S), [])

    assert critical_path(found) == ()
    assert slack(found) == {}
    assert what_if(found, {}).faster_s == 0


def test_a_chain_of_ten_thousand_has_a_path():
    def first(user: str) -> int:
        return 0

    def link(before: int) -> int:
        return before + 1

    nodes = {"n0": first}
    for number in range(1, 10_000):
        nodes[f"n{number}"] = chained(number)
    found = resolved(Graph(Given, **nodes), "n9999")

    assert len(critical_path(found)) == 10_000
    assert len(slack(found)) == 10_000


def chained(number):
    space = {}
    exec(f"def link(n{number - 1}): return n{number - 1} + 1", space)
    return space["link"]


# ---------------------------------------------------------------------- held against runs that happen


@st.composite
def timed_graphs(draw):
    """A graph whose latencies are read when it runs, so that it can be run again with others."""
    latency_s: dict[str, int] = {}
    known, nodes = ["user"], {}
    for number in range(draw(st.integers(2, 14))):
        name = f"n{number}"
        kind = draw(st.sampled_from(["fetch"] * 6 + ["derived", "branch", "branch", "first_of"]))
        near = st.sampled_from(known[-6:])
        some = draw(st.lists(near, unique=True, min_size=1, max_size=3))
        if kind == "branch":
            nodes[name] = branch(draw(near), then=draw(near), otherwise=draw(near))
        elif kind == "first_of":
            nodes[name] = first_of(*some)
        elif kind == "fetch":
            latency_s[name] = draw(st.integers(0, 20))
            fails = (name,) if draw(st.integers(0, 4)) == 0 else ()
            options = draw(st.sampled_from([{}, {}, {"fallback": 1}]))
            nodes[name] = sleeper(name, some, latency_s, fails=fails, **options)
        else:
            nodes[name] = with_outcomes(name, some, draw(st.sampled_from(some)))
        known.append(name)
    goals = draw(st.lists(st.sampled_from(list(nodes)[-5:]), min_size=1, max_size=3, unique=True))
    return Graph(Given, **nodes), goals, latency_s


def with_outcomes(name, needs, soft):
    """A derived node that runs even if ``soft`` has no value, and is odd or even by what it sees."""
    space = {"Outcome": Outcome}
    seen = "".join(f"str(getattr({need}, 'status', {need})) + " for need in needs)
    signature = ", ".join(f"{need}: Outcome" if need == soft else need for need in needs)
    exec(f"def {name}({signature}): return len({seen} '') % 2", space)
    return space[name]


def took(graph, goals):
    async def timed():
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        found = await graph.resolve(goals, given={"user": "ann"})
        return found, loop.time() - began_s

    return run(timed)


@settings(max_examples=150, deadline=None)
@given(case=timed_graphs(), data=st.data())
def test_the_answer_is_the_time_that_the_run_takes_with_other_latencies(case, data):
    """Exact, to the instant: the same graph is run again on a clock that jumps, with what was asked for."""
    graph, goals, latency_s = case
    found, took_s = took(graph, goals)
    timed = [span.name for span in found.timeline if span.name in latency_s]
    changed = data.draw(st.lists(st.sampled_from(timed), unique=True) if timed else st.just([]))
    settled = [name for name in changed if found.outcomes[name].error or found.outcomes[name].has_value]
    changes_s = {name: data.draw(st.integers(-latency_s[name], 20), name) for name in settled}

    answer = what_if(found, changes_s)
    for name, by_s in changes_s.items():
        latency_s[name] += by_s
    again, would_take_s = took(graph, goals)

    assert answer.took_s == pytest.approx(took_s)
    # Whatever failed first may fail later now, and let go of others: then it is another run.
    assume(
        {n: o.status for n, o in again.outcomes.items()} == {n: o.status for n, o in found.outcomes.items()}
    )
    assert answer.would_take_s == pytest.approx(would_take_s)


@settings(max_examples=120, deadline=None)
@given(case=cases())
def test_the_path_is_a_chain_from_the_start_to_the_end_whatever_happens(case):
    """Failures, timeouts, fallbacks, handed-in nodes: each leg begins where the one before it ended."""
    found, took_s = run(lambda: timed_run(case))

    path = critical_path(found)
    spare = slack(found)

    assert what_if(found, {}).took_s == pytest.approx(took_s)
    at_s = 0.0
    for leg in path:
        assert leg.start_s - leg.waited_s == pytest.approx(at_s)
        assert spare[leg.name] == pytest.approx(0)
        at_s = leg.end_s
    assert at_s == pytest.approx(took_s)


@settings(max_examples=120, deadline=None)
@given(case=cases(), data=st.data())
def test_within_its_slack_a_node_makes_no_run_later(case, data):
    """And the run is never later by more than what was added."""
    found, took_s = run(lambda: timed_run(case))
    spare = slack(found)
    movable = [span.name for span in found.timeline if span.name in spare]
    movable = [name for name in movable if hasattr(found.nodes[name], "parameters")]
    assume(movable)
    name = data.draw(st.sampled_from(movable))
    longer_s = data.draw(st.integers(0, 30))

    would_take_s = what_if(found, {name: longer_s}).would_take_s

    assert would_take_s <= took_s + longer_s + 1e-9
    if longer_s <= spare[name]:
        assert would_take_s == pytest.approx(took_s)


async def timed_run(case):
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    found = await case.graph.resolve(case.goals, given=case.given)
    return found, loop.time() - began_s
