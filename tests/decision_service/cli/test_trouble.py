"""What `sidearm status` says in an incident: the worst first, each with a chapter that is in the runbook."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from decision_service.cli.learner_rows import learner_rows
from decision_service.cli.look import Look
from decision_service.cli.trouble import anchor, no_feature_store, troubles
from decision_service.overload import Share
from sidecar.contracts.books import Books
from sidecar.contracts.scripts.working import Seen, Worker

WELL = {"state": "running", "pid": "7", "at_ms": "9000", "version": "3", "examples": "10"}
ROOT = Path(__file__).parents[3]


BALANCED = Books(0, 0)


def seen(learner=WELL, books=BALANCED, **more):
    return Look(9_500, learner, books, 0, **more)


def helper(error="", at_ms=9_400):
    return Seen("joiner-a-7", at_ms, Worker(kind="joiner", pid=7, error=error))


CASES = {
    "decisions 1, rewards 0": seen(books=Books(1, 0)),
    "no learner has run yet": seen({}),
    "was stopped": seen(WELL | {"state": "stopped"}),
    "silent for 9 s": seen(WELL | {"at_ms": "1"}),
    "gate: worse": seen(WELL | {"last_error": "gate: worse"}),
    "0 of 1 replicas": seen(WELL | {"last_error": "NotReplicated: 0 of 1 replicas have it"}),
    "due 70 s ago": seen(WELL | {"lag_ms": "70000"}),
    "2 entries": seen(WELL | {"dead_letters": "2"}),
    "rebuilt": seen(WELL | {"rebuild_mismatch": "1"}),
    "no disk": seen(workers=(helper("OSError: no disk"),)),
    "joiner-a-7 has been silent": seen(workers=(helper(at_ms=1),)),
    "40% of the decisions": seen(share=Share(0.4, "memory")),
}


def test_nothing_is_wrong_while_all_is_well():
    assert list(troubles(seen(workers=(helper(),)))) == []


def test_a_feature_store_that_is_away_is_said_without_its_password():
    """And nothing of one that answers."""
    (one,) = no_feature_store("redis://me:secret@127.0.0.1:1", 1.0)
    assert "127.0.0.1:1" in one.what
    assert "secret" not in one.what
    check_chapter(one)


@pytest.mark.parametrize("words", CASES)
def test_what_is_wrong_is_said_with_where_to_read_on(words):
    """In one line, and the chapter exists."""
    (one,) = troubles(CASES[words])
    assert words in one.what
    check_chapter(one)


def check_chapter(one):
    headings = re.findall(r"^### (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert one.chapter in headings
    assert anchor(one.chapter).startswith("docs/operations.md#")


def test_the_worst_comes_first():
    """Books before a learner that is away before what follows from it."""
    found = [one.chapter for one in troubles(seen(WELL | {"at_ms": "1", "lag_ms": "99999"}, Books(0, 2)))]
    assert found == ["Books are not 0", "The learner is gone", "The join lags"]


def test_a_learner_that_says_little_is_shown():
    """One that is older than a field of its status, or has published nothing."""
    said = dict(learner_rows(seen({"state": "running", "pid": "7", "at_ms": "9000", "version": "0"})))
    assert said["version"].startswith("0, nothing published")
    assert "0.5 s ago" in said["state"]
