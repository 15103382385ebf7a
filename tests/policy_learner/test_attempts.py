"""What is tried is on disk before it is tried, and whoever comes next reads it."""

from __future__ import annotations

import os
import random

import pytest

from policy_learner.learning import attempts as module
from policy_learner.learning.attempts import Attempts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "attempts"


def test_what_was_under_way_when_the_learner_died_has_failed_once_more(path):
    """Each start counts; what was through, or withdrawn, is not counted."""
    first = Attempts(path)
    first.begin(["a", "b", "c", "d"])
    first.succeeded(["a"])
    first.withdrawn(["b"])
    second = Attempts(path)
    assert [second.of(name) and second.of(name).times for name in "abcd"] == [None, None, 1, 1]
    second.begin(["c"])
    third = Attempts(path)
    assert third.of("c").times == 2
    assert "took the learner along" in third.of("c").reason
    assert Attempts(path).of("c").times == 2  # it was not under way again


def test_success_forgets_failures(path):
    """A death that was not the example's fault is not held against it for ever."""
    attempts = Attempts(path)
    attempts.begin(["a"])
    attempts.failed(["a"], "was ended by SIGKILL")
    assert attempts.of("a").times == 1
    attempts.begin(["a"])
    attempts.succeeded(["a"])
    assert not attempts.any
    assert not Attempts(path).any


def test_the_file_does_not_grow_for_ever(path, monkeypatch):
    """The latest failures are kept."""
    monkeypatch.setattr(module, "_KEPT", 3)
    attempts = Attempts(path)
    for n in range(10):
        attempts.failed([f"n{n}"], "ended")
    again = Attempts(path)
    assert [n for n in range(10) if again.of(f"n{n}")] == [7, 8, 9]


def test_a_torn_or_foreign_file_is_an_empty_one(path):
    """Cut anywhere, or any byte altered: nothing is known, and nothing stops the learner."""
    Attempts(path).failed([f"n{n}" for n in range(20)], "ended")
    whole, rng = path.read_bytes(), random.Random(1)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert not Attempts(path).any
    for _ in range(50):
        altered = bytearray(whole)
        altered[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(altered)
        assert not Attempts(path).any


def test_a_full_disk_does_not_stop_what_is_tried(path, caplog):
    """It is said once; what is known in memory goes on."""
    attempts = Attempts(path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, attempts._descriptor)
    os.close(full)
    for _ in range(3):
        attempts.begin(["a"])
        attempts.failed(["a"], "ended")
    assert attempts.of("a").times == 3
    assert caplog.text.count("No space left") == 1


def test_without_a_path_it_remembers_in_memory():
    """For trainers whose learner has no folder."""
    attempts = Attempts(None)
    attempts.begin(["a"])
    attempts.failed(["a"], "ended")
    assert attempts.of("a").times == 1
