"""A logged shadow, a function of one's own, and what served at some time, as candidates."""

from __future__ import annotations

import datetime as dt

import msgspec
import numpy as np
import pytest

from offline_eval.candidates import candidate_of
from offline_eval.errors import BadCandidate
from offline_eval.evaluate import evaluate
from offline_eval.other_policies import AsOf, Function, Shadow
from offline_eval.target_policy import Table, epsilon_greedy
from sidecar.contracts.application import Exploration
from sidecar.contracts.events import Shadow as LoggedShadow
from sidecar.contracts.events import decode_decision, encode_decision
from sidecar.contracts.weights import encode_weights
from tests.offline_eval.logs import ARMS, START, row, simulated_rows, weights, write_log

FILE = """
def best(context, arms):
    wanted = {"ios": "red", "android": "green", "web": "blue"}[context["device"]]
    return [float(arm == wanted) for arm in arms]

def short(context, arms):
    return [1.0]

def broken(context, arms):
    raise KeyError("device")

number = 3
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("log"), simulated_rows(400, seed=1))


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    return tmp_path / "mine.py"


def numbers(log, policy):
    (result,) = evaluate(log, [policy]).candidates
    return {one.estimator: one.value.value for one in result.estimates if one.value}


def test_a_function_is_a_policy(log, file):
    """Equal to the table that says the same."""
    table = {"ios": {"red": 1.0}, "android": {"green": 1.0}, "web": {"blue": 1.0}}

    found = numbers(log, candidate_of(f"function:{file}:best", weights))

    assert found == numbers(log, Table("best", table, "context.device"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", "gave 1 probabilities for 4 arms"),
        ("broken", "failed: KeyError: 'device'"),
        ("number", "has no function 'number'"),
        ("nobody", "has no function 'nobody'"),
    ],
)
def test_a_function_that_is_none_is_named(log, file, name, message):
    with pytest.raises(BadCandidate, match=message):
        numbers(log, candidate_of(f"function:{file}:{name}", weights))


def test_a_file_that_cannot_be_run_is_named(tmp_path):
    (tmp_path / "bad.py").write_text("def (")

    for text, message in (("bad.py:f", "cannot be run: SyntaxError"), ("none.py:f", "no Python file")):
        with pytest.raises(BadCandidate, match=message):
            candidate_of(f"function:{tmp_path}/{text}", weights)
    with pytest.raises(BadCandidate, match="legal is function:"):
        candidate_of("function:best", weights)


def test_a_shadow_is_evaluated_by_what_it_scored(tmp_path):
    """Its scores stand in the events; rows without do not count."""
    made = []
    for i, one in enumerate(simulated_rows(300, seed=2)):
        scores = np.float32([0.0, 0.0, 0.0, 1.0]).tobytes()
        shadows = (LoggedShadow("challenger", 7, scores),) if i % 3 else ()
        event = msgspec.structs.replace(decode_decision(one["event"]), shadows=shadows)
        made.append(one | {"event": encode_decision(event)})

    (result,) = evaluate(write_log(tmp_path, made), [Shadow("challenger")]).candidates

    assert (result.rows, result.rejected) == (200, {"target_unknown": 100})
    greys = {"": {arm: 0.7 if arm == "grey" else 0.1 for arm in ARMS}}
    kept = [one for i, one in enumerate(made) if i % 3]
    expected = numbers(write_log(tmp_path / "kept", kept), Table("grey", greys))
    ips = next(one.value.value for one in result.estimates if one.estimator == "ips")
    assert ips == pytest.approx(expected["ips"])


def test_what_served_then_is_found_by_its_decision(log, tmp_path):
    """The version and the exploration of the last decision until then."""
    rows = [row(i, model_version=1 + i // 50, reward=float(i % 3 == 0)) for i in range(100)]
    asked = []

    def version(number):
        asked.append(number)
        return weights({5: 1.0})

    moment = START + dt.timedelta(seconds=49)
    found = numbers(write_log(tmp_path, rows), AsOf(moment, version))

    assert asked == [1]
    assert found == numbers(write_log(tmp_path / "b", rows), epsilon_greedy(weights({5: 1.0}), 0.4))


def test_nobody_had_served_by_then(log):
    with pytest.raises(BadCandidate, match="no model had served by 2020"):
        numbers(log, candidate_of("as-of:2020-01-01", weights, lambda name: weights()))
    with pytest.raises(BadCandidate, match="a time is needed"):
        candidate_of("as-of:tuesday", weights, lambda name: weights())


def test_other_weights_stand_behind_an_at(tmp_path):
    """A file or a version, in one evaluation."""
    (tmp_path / "other.bin").write_bytes(encode_weights(weights({3: 2.0})))
    asked = {}

    def other(name):
        return asked.setdefault(name, weights({3: 2.0}))

    made = candidate_of("epsilon:0.1@17", weights, other)

    assert (made.name, list(asked)) == ("epsilon:0.1@17", ["17"])
    assert made.exploration == Exploration("epsilon_greedy", 0.1, 0.0)
    with pytest.raises(BadCandidate, match="cannot be had here"):
        candidate_of("greedy@17", weights)


def test_a_function_may_be_given_as_it_is(log):
    """In a notebook."""
    even = Function("even", lambda context, arms: [1 / len(arms)] * len(arms))

    assert numbers(log, even)["snips"] > 0
