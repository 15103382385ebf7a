"""An evaluation that somebody asked for says how far it is, and leaves an answer or a reason."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import re
import subprocess
import sys

import msgspec
import pytest

from offline_eval.apart import run
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.evaluating import (
    ANSWER,
    ASKED,
    FOLDER,
    LOCK,
    PAGE,
    PROGRESS,
    EvaluationAsked,
    Step,
    check_asked,
    last_step,
)
from sidecar.contracts.layout import DataFolder
from tests.offline_eval.logs import START, simulated_rows, write_log

NOW = START + dt.timedelta(days=1)


@pytest.fixture
def shop(tmp_path):
    """An application of which a log, and nothing else, is there."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "app.toml").write_text('name = "test"\n[reward]\nhorizon_s = 60\n')
    (app / "arms.json").write_text('[{"id": "red"}]')
    write_log(tmp_path / "data", simulated_rows(4000, seed=3), files=3)
    return app, tmp_path / "data"


def ask(shop, name="one", **question):
    place = DataFolder(shop[1]).evaluations("test") / FOLDER / name
    place.mkdir(parents=True)
    asked = EvaluationAsked(**{"candidates": ("uniform", "logged"), **question})
    (place / ASKED).write_bytes(msgspec.json.encode(asked))
    return place


def steps(place):
    return [msgspec.json.decode(line, type=Step) for line in (place / PROGRESS).read_bytes().splitlines()]


@pytest.mark.slow
def test_it_says_how_far_it_is_and_leaves_an_answer(shop):
    """Rows grow up to what there are, times the candidates; the answer lies there before it is said to."""
    place = ask(shop, against="uniform", by=("context.device",))
    assert run(*shop, "one", {}, NOW) == 0
    told = steps(place)
    phases = [step.phase for step in told]
    assert (phases[:2], phases[-2:]) == (["reading", "scoring"], ["writing", "done"])
    assert [step.rows for step in told] == sorted(step.rows for step in told)
    assert (told[-1].rows, told[-1].of) == (8000, 8000)
    found = json.loads((place / ANSWER).read_text())
    assert [one["candidate"] for one in found["candidates"]] == ["uniform", "logged"]
    assert [one["against"] for one in found["versus"]] == ["uniform"]
    assert len(found["groups"]) == 3
    assert "uniform" in (place / PAGE).read_text()
    assert found["candidates"][0]["verdict"] in told[-1].told


def test_one_at_a_time(shop):
    """Whoever comes second says so and changes nothing of the first one's."""
    place = ask(shop)
    with (place.parent / LOCK).open("a+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run(*shop, "one", {}, NOW) == 1
    assert "another evaluation runs" in steps(place)[-1].told
    assert not (place / ANSWER).exists()


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ({"candidates": ("greedy",)}, "has published no weights|does not answer|cannot be"),
        ({"candidates": ("function:evil.py:f",)}, "cannot be asked for here"),
        ({"days": 1, "candidates": ("uniform", "uniform")}, "twice|differ"),
    ],
)
def test_what_cannot_be_answered_has_a_reason(shop, question, reason):
    """And no answer. A password in the store's address is in no reason."""
    place = ask(shop, **question)
    environ = {"REDIS_URL": "redis://somebody:very-secret@127.0.0.1:1"}
    assert run(*shop, "one", environ, NOW) == 1
    last = steps(place)[-1]
    assert last.phase == "failed"
    assert re.search(reason, last.told), last.told
    assert "very-secret" not in last.told
    assert not (place / ANSWER).exists()


@pytest.mark.parametrize(
    "question",
    [
        {"candidates": ("table:/etc/passwd",)},
        {"candidates": ("greedy@/tmp/weights",)},
        {"candidates": ("shadow:../../x",)},
        {"candidates": ("--weights=x",)},
        {"candidates": ("uniform\n",)},
        {"candidates": ("uniform",), "against": "greedy"},
        {"candidates": ("uniform",), "by": ("context.a\x1fb",)},
        {"candidates": ("uniform",), "by": ("event",)},
    ],
    ids=str,
)
def test_nobody_asks_for_files_nor_for_code(question):
    with pytest.raises(BadSettings, match="legal"):
        check_asked(EvaluationAsked(**question))


def test_a_child_that_is_told_to_end_says_that_it_was_cancelled(shop):
    """It is stopped while another one holds it up: nothing of an answer is anywhere."""
    place = ask(shop)
    (place / ASKED).unlink()
    os.mkfifo(place / ASKED)  # it waits there for its question
    app, data = shop
    command = [sys.executable, "-m", "offline_eval.apart", str(os.getpid()), "--app", str(app)]
    child = subprocess.Popen([*command, "--data", str(data), "--name", "one"])
    with child, (place / ASKED).open("wb"):  # opens when the child reads
        child.terminate()
        assert child.wait(20) == 0
    assert last_step((place / PROGRESS).read_bytes()).phase == "cancelled"
    assert not (place / ANSWER).exists()
