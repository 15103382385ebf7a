"""Decisions are found in a log by whoever cannot read Parquet: a child answers for them."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from offline_eval.errors import BadLog
from offline_eval.finding import look
from sidecar.contracts.events import decode_decision
from sidecar.contracts.looking import Looked, Sought
from tests.offline_eval.logs import START, row, write_log

START_MS = int(START.timestamp() * 1000)
HOSTILE = "'; DROP TABLE log; --"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    rows = [row(i, arm=("red", "blue")[i % 2], source=("model", "fallback")[i % 3 == 0]) for i in range(40)]
    rows += [row(40, session_id=HOSTILE, unit_id="u-same"), row(41, unit_id="u-same", reward=None)]
    rows += [row(41, slot=1, arm="grey", arm_index=3, unit_id="u-same", reward=0.5)]
    return write_log(tmp_path_factory.mktemp("log"), rows, files=3)


def ids(looked):
    return [int(one.decision_id.partition("-")[2], 16) for one in looked.found]


def test_the_newest_come_first_and_no_more_than_were_asked_for(log):
    looked = look(log, Sought(limit=3))
    assert ids(looked) == [41, 40, 39]
    assert (looked.rows, looked.files) == (43, 3)


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        (Sought(session_id="s-7"), [7]),
        (Sought(unit_id="u-same"), [41, 40]),
        (Sought(session_id=HOSTILE), [40]),
        (Sought(arm="grey"), [41]),
        (Sought(arm="blue", source="fallback", limit=2), [39, 33]),
        (Sought(since_ms=START_MS + 10_000, until_ms=START_MS + 12_000), [11, 10]),
        (Sought(unit_id="u-same", arm="blue"), []),
        (Sought(since_ms=START_MS + 90 * 86_400_000), []),
    ],
    ids=str,
)
def test_what_is_known_of_them_finds_them(log, sought, found):
    """Everything that is given at once, and no text is ever SQL."""
    assert ids(look(log, sought)) == found


def test_one_decision_comes_with_its_event_and_the_rewards_of_its_slots(log):
    (one,) = look(log, Sought(decision_id=f"0-{41:027x}")).found
    assert decode_decision(one.event).session_id == "s-41"
    assert (one.arms, one.reward, one.slot_rewards) == (("red", "green", "blue", "grey"), None, (0.5,))


def test_a_damaged_file_hides_the_others_no_longer(tmp_path):
    log = write_log(tmp_path, [row(i) for i in range(9)], files=3)
    (first, *_) = sorted(log.rglob("*.parquet"))
    first.write_bytes(b"PAR1 no longer")
    assert ids(look(log, Sought())) == [8, 7, 6, 5, 4, 3]


def test_a_log_without_decisions_says_so(tmp_path):
    with pytest.raises(BadLog, match="holds no decisions"):
        look(tmp_path, Sought())


def test_a_child_answers_questions_and_complaints_alike(log, tmp_path):
    """By standard input and output; what it cannot do it says in the answer."""

    def asked(folder):
        command = [sys.executable, "-m", "offline_eval.finding", str(os.getpid()), str(folder)]
        question = msgspec.json.encode(Sought(session_id="s-3"))
        done = subprocess.run(command, input=question, capture_output=True, check=True)
        return msgspec.json.decode(done.stdout, type=Looked)

    assert ids(asked(log)) == [3]
    assert "holds no decisions" in asked(tmp_path).failed
