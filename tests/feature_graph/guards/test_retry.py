"""Another attempt: only for what is transient, only in time, only under the budget."""

from __future__ import annotations

import asyncio
import traceback
from itertools import pairwise
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_graph import BadGraph, Graph, Status, fetch, remaining
from feature_graph.errors import FetchTimedOut, TransientError
from feature_graph.guards import Retry, RetryBudget, Source
from tests.feature_graph.guards.scripted import Fatal, Script, Transient, guard, now, settle
from tests.feature_graph.virtual_time import run


class Given(TypedDict, total=False):
    x: int


ON = Retry(on=Transient, backoff=0.0)


def outcome_of(function, deadline=None, **options):
    """The outcome of one node whose fetch is guarded so."""

    async def node(x):
        return await function(x)

    graph = Graph(Given, node=fetch(**options)(node))
    return run(lambda: graph.resolve("node", given={"x": 1}, deadline=deadline)).outcomes["node"]


def test_a_transient_error_is_tried_again_and_the_attempts_are_noted():
    """Promise 8, promise 14."""
    script = Script([(1, Transient()), (1, Transient()), (1, "value")])
    outcome = outcome_of(script, retry=ON)
    assert (outcome.status, outcome.value, outcome.notes["attempts"]) == (Status.OK, "value", 3)


def test_the_error_to_raise_is_transient_without_being_listed():
    """TransientError is the default of Retry(on=)."""
    script = Script([(0, TransientError("busy")), (0, "value")])
    assert outcome_of(script, retry=Retry(backoff=0)).value == "value"


def test_an_error_that_is_not_transient_is_not_tried_again():
    """Promise 8: a logic error stays one."""
    script = Script([(1, Fatal("no such customer"))])
    outcome = outcome_of(script, retry=ON)
    assert (outcome.status, str(outcome.error), script.calls) == (Status.FAILED, "no such customer", 1)


def test_the_last_error_is_told_when_attempts_run_out():
    script = Script([(0, Transient("first")), (0, Transient("second"))])
    outcome = outcome_of(script, retry=Retry(on=Transient, attempts=2, backoff=0))
    assert (str(outcome.error), outcome.notes["attempts"], script.calls) == ("second", 2, 2)


def test_pauses_are_drawn_from_nothing_to_a_bound_that_doubles():
    """Full jitter, with chance handed in."""
    script = Script([(0, Transient())])
    drawn = iter((1.0, 0.5, 1.0, 1.0))
    retry = Retry(on=Transient, attempts=5, backoff=1, max_backoff=4)
    call = guard(script, retry=retry, source=Source("s", random=lambda: next(drawn), retry_budget=None))

    async def main():
        await settle(call(1))
        return [later - earlier for earlier, later in pairwise(script.began)]

    assert run(main) == pytest.approx([1, 1, 4, 4])


def test_no_attempt_when_the_budget_of_the_source_is_spent():
    """(45) A failure costs a token; at half nobody retries; successes, of any fetch, earn it back."""
    source = Source("s", retry_budget=RetryBudget(tokens=4, ratio=0.5))
    broken, fine = Script([(0, Transient())]), Script([(0, "fine")])
    first = guard(broken, retry=Retry(on=Transient, attempts=9, backoff=0), source=source)
    other = guard(fine, source=source)

    async def main():
        await settle(first())
        assert broken.calls == 2  # 4 tokens, 3, 2: half
        await settle(first())
        assert broken.calls == 3
        for _ in range(10):
            await other()
        await settle(first())
        assert broken.calls == 5

    run(main)


def test_a_spent_budget_is_noted():
    """(45) Who reads the outcome sees why there was no further attempt."""
    source = Source("s", retry_budget=RetryBudget(tokens=2, ratio=0))
    outcome = outcome_of(Script([(0, Transient())]), source=source, retry=ON)
    assert (outcome.notes["attempts"], outcome.notes["gave_up"]) == (1, "budget")


def test_no_attempt_when_the_pause_alone_would_pass_the_deadline():
    """(46) The error comes at once instead of a timeout later."""
    script = Script([(1, Transient("why"))])
    source = Source("s", random=lambda: 1.0)
    outcome = outcome_of(
        script, deadline=3, source=source, retry=Retry(on=Transient, backoff=2, max_backoff=9)
    )
    assert (script.calls, str(outcome.error), outcome.notes["gave_up"]) == (1, "why", "time")


def test_no_attempt_when_a_call_usually_takes_longer_than_what_is_left():
    """(46) The source's median is what another attempt is expected to take."""
    source = Source("s")
    known, script = Script([(2, "fine")]), Script([(1, Transient())])

    async def node(x):
        return await script(x)

    graph = Graph(Given, node=fetch(source=source, retry=ON)(node))

    async def main():
        for _ in range(5):
            await guard(known, source=source)()
        for deadline, calls in ((2.9, 1), (3.9, 1 + 2)):
            await graph.resolve("node", given={"x": 1}, deadline=deadline)
            assert script.calls == calls

    run(main)


def test_the_runs_own_timeout_is_never_tried_again():
    """Promise 8: what the deadline cut off is over."""
    script = Script([(9, "late")])
    outcome = outcome_of(script, timeout=1, retry=Retry(on=(Transient, TimeoutError), backoff=0))
    assert (outcome.status, script.calls, script.ended) == (Status.TIMED_OUT, 1, ["cancelled"])


def test_an_attempt_that_takes_too_long_is_cut_off_and_tried_again():
    """Per-attempt timeout inside the total one; the function is told how long it has."""
    told = []

    async def node(x):
        told.append(remaining())
        await asyncio.sleep(9 if len(told) == 1 else 1)
        return "second"

    graph = Graph(Given, fetch(timeout=10, retry=Retry(backoff=0, attempt_timeout=2))(node))
    found = run(lambda: graph.resolve("node", given={"x": 1}))
    assert (found["node"], found.outcomes["node"].notes["attempts"]) == ("second", 2)
    assert told == pytest.approx([2, 2])


def test_an_attempt_is_told_of_the_fetchs_own_time_when_that_is_shorter():
    """remaining() is the smaller of the two."""
    told = []

    async def node(x):
        told.append(remaining())
        await asyncio.sleep(99)

    graph = Graph(Given, fetch(timeout=10, retry=Retry(backoff=0, attempt_timeout=6))(node))
    outcome = run(lambda: graph.resolve("node", given={"x": 1})).outcomes["node"]
    assert (outcome.status, told) == (Status.TIMED_OUT, pytest.approx([6, 4]))


def test_the_last_attempt_that_was_cut_off_says_so():
    script = Script([(9, "late")])
    call = guard(script, retry=Retry(attempts=2, backoff=0, attempt_timeout=2))

    async def main():
        kind, error = await settle(call())
        assert isinstance(error, FetchTimedOut)
        assert now() == pytest.approx(1004)
        return kind, str(error)

    assert run(main) == ("error", "an attempt at 'node' took longer than 2 s")


def test_the_functions_own_timeout_error_is_its_own():
    """Ours is told apart from one that the function raises, even from a cancellation of its own."""

    async def node():
        async with asyncio.timeout(1):
            await asyncio.sleep(9)

    call = guard(node, retry=Retry(attempts=2, backoff=0, attempt_timeout=2))
    kind, error = run(lambda: settle(call()))
    assert (kind, type(error)) == ("error", TimeoutError)


def test_tracebacks_begin_in_the_users_code_and_do_not_grow():
    """(38) One error object, raised by every attempt of two runs."""
    error = Transient("always the same")

    async def node():
        raise error

    call = guard(node, retry=ON, source=Source("s", retry_budget=None))

    async def main():
        lengths = []
        for _ in range(2):
            await settle(call())
            frames = traceback.extract_tb(error.__traceback__)
            lengths.append(len(frames))
            assert [frame.name for frame in frames][-2:] == ["settle", "node"]
            error.__traceback__ = None
        return lengths

    assert run(main) == [2, 2]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"attempts": 1}, "attempts is 1; legal: a whole number from 2"),
        ({"attempts": True}, "attempts is True"),
        ({"backoff": -1}, "backoff is -1; legal: seconds from 0"),
        ({"on": ()}, r"on is \(\); legal: classes derived from Exception"),
        ({"on": asyncio.CancelledError}, "on is .*CancelledError.*; legal: classes"),
        ({"attempt_timeout": 0}, "attempt_timeout is 0; legal: above 0 s"),
        ({"attempt_timeout": "1s"}, "attempt_timeout is '1s'; legal: seconds"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(BadGraph, match=says):
        Retry(**settings)


OUTCOMES = st.sampled_from(["value", Transient("t"), Fatal("f")])
SCRIPTS = st.lists(st.tuples(st.integers(0, 3), OUTCOMES), min_size=1, max_size=6)


def model(script, attempts, tokens, ratio, deadline):
    """What one call does, in sequence: its end, how long it takes, the calls it made, the tokens left."""
    time_s, most, made = 0, tokens, 0
    while True:
        seconds, outcome = script[min(made, len(script) - 1)]
        made += 1
        if time_s + seconds >= deadline:
            return "late", deadline, made, None
        time_s += seconds
        if outcome == "value":
            return "value", time_s, made, min(most, tokens + ratio)
        if isinstance(outcome, Fatal):
            return outcome, time_s, made, tokens
        tokens = max(0.0, tokens - 1)
        if made == attempts or tokens <= most / 2:
            return outcome, time_s, made, tokens


@settings(max_examples=300, deadline=None)
@given(
    SCRIPTS,
    st.integers(2, 5),
    st.integers(1, 6),
    st.sampled_from([0.1, 0.5]),
    st.sampled_from([2.5, 4.5, 99.5]),
)
def test_random_scripts_end_as_the_sequential_model_says(entries, attempts, tokens, ratio, deadline):
    script = Script(list(entries))
    source = Source("s", retry_budget=RetryBudget(tokens, ratio))
    retry = Retry(on=Transient, attempts=attempts, backoff=0)

    async def node(x):
        return await script(x)

    graph = Graph(Given, node=fetch(source=source, retry=retry)(node))

    async def main():
        outcome = (await graph.resolve("node", given={"x": 1}, deadline=deadline)).outcomes["node"]
        end = {Status.OK: outcome.value, Status.TIMED_OUT: "late"}.get(outcome.status, outcome.error)
        return end, now() - 1000, script.calls, source.state()

    end, took_s, calls, state = run(main)
    expected, expected_s, expected_calls, expected_tokens = model(entries, attempts, tokens, ratio, deadline)
    assert (end, took_s, calls) == (expected, pytest.approx(expected_s), expected_calls)
    assert (state.calls, state.retries, state.in_flight) == (calls, calls - 1, 0)
    if expected_tokens is not None:
        assert state.retry_tokens == pytest.approx(expected_tokens)
