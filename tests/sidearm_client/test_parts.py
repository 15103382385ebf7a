"""The client's parts by themselves: pauses, odd answers, settings, what waits. No server, no waiting."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from sidearm_client import Batching, Client, Refused, Retries, Settings, Unavailable
from sidearm_client.backlog import Backlog
from sidearm_client.retrying import Attempts
from sidearm_client.wire import Told, failure_of, reward_body

ROOT = Path(__file__).parents[2]


def answering(*responses: httpx.Response) -> Client:
    """A client whose service answers these, one after the other, and the last one for ever."""
    left = list(responses)
    transport = httpx.MockTransport(lambda _: left.pop(0) if len(left) > 1 else left[0])
    return Client(transport=transport, retries=Retries(first_s=0.0))


def test_pauses_end_with_the_time_of_the_call():
    """A pause that Retry-After makes longer than what is left is not begun."""
    attempts = Attempts(Retries(most=5), timeout_s=1.0, clock=lambda: 0.0, share=lambda: 0.5)
    assert attempts.pause_s(Unavailable("away")) == 0.025
    assert attempts.pause_s(Unavailable("away")) == 0.05
    assert attempts.pause_s(Unavailable("busy", retry_after_s=0.7)) == 0.7
    with pytest.raises(Unavailable, match="busy"):
        attempts.pause_s(Unavailable("busy", retry_after_s=2.0))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status):
    """And succeeds with the next attempt."""
    good = {"status": "accepted", "decision_id": None, "reward_id": "r"}
    client = answering(httpx.Response(status), httpx.Response(202, json=good))
    assert client.reward_now(1.0, session_id="s").status == "accepted"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
def test_what_would_not_pass_is_refused_at_once(status):
    """Whatever its body is."""
    client = answering(httpx.Response(status, text="<html>"), httpx.Response(500))
    with pytest.raises(Refused) as refused:
        client.decide("s", fallback=["x"])
    assert refused.value.problem.status == status


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"decision_id": 3}', b"\xff"])
def test_an_answer_of_somebody_else_is_no_answer(body):
    """Such as a portal's page: the client falls back."""
    decision = answering(httpx.Response(200, content=body)).decide(
        "s", arms=["a", {"id": "b"}], exclude=["a"]
    )
    assert (decision.arm, decision.fell_back) == ("b", True)


@pytest.mark.parametrize("body", [b"[]", b"3", b'{"type": 1}', b'{"type":"t","title":"x","errors":3}'])
def test_a_broken_problem_is_one_all_the_same(body):
    with pytest.raises(Refused):
        failure_of(httpx.Response(422, content=body))


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"SIDEARM_TIMEOUT_S": "soon"}, "SIDEARM_TIMEOUT_S is 'soon'"),
        ({"SIDEARM_TIMEOUT_S": "-1"}, "timeout_s is -1"),
        ({"SIDEARM_TIMEOUT_S": "nan"}, "timeout_s is nan"),
        ({"SIDEARM_URL": "sidearm:8000"}, "url is 'sidearm:8000'"),
        ({"SIDEARM_KEY_FILE": "/nowhere"}, "SIDEARM_KEY_FILE is /nowhere"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(environ, said):
    with pytest.raises(ValueError, match=said):
        Client.from_env(environ)


def test_a_client_is_made_of_the_environment(tmp_path):
    """A key file, as secrets are mounted; and no key in what is printed."""
    (tmp_path / "key").write_text("sk_1\n")
    environ = {"SIDEARM_KEY_FILE": str(tmp_path / "key"), "SIDEARM_FALLBACK": "a,b", "SIDEARM_TIMEOUT_S": "3"}
    settings = Client.from_env(environ, sticky=True).settings
    assert (settings.key, settings.fallback, settings.timeout_s, settings.sticky) == (
        "sk_1",
        ("a", "b"),
        3,
        True,
    )
    assert "sk_1" not in repr(settings)
    assert Settings() == Client.from_env({}).settings


def test_a_sticky_application_is_asked_without_a_key():
    """Two requests with keys of their own would never be the same."""
    asked: list[bytes] = []

    def busy(request: httpx.Request) -> httpx.Response:
        asked.append(request.content)
        return httpx.Response(409)

    for sticky in (True, False):
        with pytest.raises(Refused):
            Client(sticky=sticky, transport=httpx.MockTransport(busy)).decide("s")
    assert [b"decision_id" in body for body in asked] == [False, True]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_reward_that_says_nothing_is_refused_before_it_waits(value):
    """It would spoil its batch."""
    with pytest.raises(ValueError, match="reward"):
        Client().reward(value, session_id="s")


def test_times_need_a_zone():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert reward_body(1.0, "d", None, None, None, None, at)["occurred_at"] == "2026-01-01T00:00:00+00:00"
    with pytest.raises(ValueError, match="zone"):
        reward_body(1.0, "d", None, None, None, None, at.replace(tzinfo=None))


def test_a_full_backlog_loses_the_newest_and_says_so():
    """What came first was promised first."""
    lost = []
    backlog = Backlog(Batching(most=2, backlog=2), lambda body, why: lost.append((body, str(why))))
    assert [backlog.add(Told({"reward_id": n})) for n in "abc"] == [True, True, False]
    assert lost == [({"reward_id": "c"}, "2 wait already")]
    assert backlog.counts == {"lost": 1}


def test_activations_keep_their_place_between_rewards():
    """One call each: what was told first arrives first."""
    backlog = Backlog(Batching())
    rewards = [Told({"reward_id": n}) for n in "abc"]
    for told in (rewards[0], rewards[1], Told(None, "d"), rewards[2]):
        backlog.add(told)
    batches = []
    while batch := backlog.first():
        batches.append([told.activated or told.reward["reward_id"] for told in batch])
        backlog.done(batch)
    assert batches == [["a", "b"], ["d"], ["c"]]


@pytest.mark.slow
def test_it_is_installed_alone_with_nothing_but_httpx(tmp_path):
    """`pip install ./sidearm_client`: every module, the marker for type checkers, one dependency."""
    shutil.copytree(ROOT / "sidearm_client", tmp_path / "sidearm_client")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
    ]
    subprocess.run(
        [*command, tmp_path / "sidearm_client"], check=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if not name.partition("/")[0].endswith(".dist-info")}
        metadata = next(wheel.read(n).decode() for n in wheel.namelist() if n.endswith("/METADATA"))
    sources = {f"sidearm_client/{path.name}" for path in (ROOT / "sidearm_client").glob("*.py")}
    assert names == sources | {"sidearm_client/py.typed"}
    requires = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert [line.split()[1].partition("<")[0].partition(">")[0] for line in requires] == ["httpx"]
