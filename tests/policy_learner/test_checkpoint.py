"""Checkpoints: whole or refused, and never fewer than one that works."""

from __future__ import annotations

import pytest

from policy_learner.errors import BadCheckpoint
from policy_learner.models import checkpoint
from policy_learner.models.checkpoint import Checkpoint


def saved(version):
    return Checkpoint(
        version=version,
        epoch=3,
        examples=70,
        positions=("5-0", "6-1"),
        trained=("5-0", "0-0"),
        state=bytes(range(256)),
    )


def test_what_is_loaded_is_what_was_saved(tmp_path):
    """All of it, the newest one."""
    checkpoint.save(tmp_path, saved(1), b"record 1")
    checkpoint.save(tmp_path, saved(10), b"record 10")
    assert checkpoint.load_latest(tmp_path) == saved(10)


def test_only_the_last_two_are_kept(tmp_path):
    """With their weights, and nothing half-written beside them."""
    for version in (8, 9, 10, 11):
        checkpoint.save(tmp_path, saved(version), b"record")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"10.checkpoint", "11.checkpoint", "weights-10.bin", "weights-11.bin"}


def test_nothing_saved_is_nothing_loaded(tmp_path):
    """No folder, no file: a first start."""
    assert checkpoint.load_latest(tmp_path / "none") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-1],
        lambda b: b[:20],
        lambda b: b"",
        lambda b: b"x" + b[1:],
        lambda b: b[:60] + bytes([b[60] ^ 1]) + b[61:],
    ],
)
def test_a_damaged_one_is_refused_and_the_one_before_used(tmp_path, damage):
    """Cut, emptied, of another kind, or with one bit turned."""
    checkpoint.save(tmp_path, saved(1), b"")
    path = checkpoint.save(tmp_path, saved(2), b"")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadCheckpoint):
        checkpoint.read(path)
    assert checkpoint.load_latest(tmp_path) == saved(1)


def test_a_failed_write_leaves_the_earlier_ones(tmp_path, monkeypatch):
    """The disk is full half-way: what stood stands."""
    checkpoint.save(tmp_path, saved(1), b"")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path, saved(2), b"")
    monkeypatch.undo()
    assert checkpoint.load_latest(tmp_path) == saved(1)
