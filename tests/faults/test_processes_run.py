"""Real processes under faults, for a quarter of a minute; ``make faults`` takes its time."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.faults.injuries import INJURIES
from tests.faults.processes_run import run

LEAST = len(INJURIES) // 2
"""Faults, however long they take here."""


@pytest.mark.slow
def test_whatever_is_killed_paused_or_cut_the_invariants_hold():
    """I1 to I8 over store, Parquet and checkpoints, and a replay from outside."""
    root = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))  # sockets have short addresses
    # It begins in mode assume; each service that is killed is followed by one in another.
    report = run(15.0, 4, root, LEAST)
    shutil.rmtree(root)
    assert report.decisions > 100
    assert report.rewards > 100
    assert all(report.modes[what] for what in ("assume", "lessons", "never activated"))
    assert sum(report.faults.values()) >= LEAST


@pytest.mark.slow
def test_so_they_do_with_joiner_and_archiver_beside_the_learner():
    """An odd seed has both as processes of their own, which die and are paused like all others."""
    root = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
    report = run(15.0, 5, root, LEAST)
    shutil.rmtree(root)
    assert report.decisions > 100
    assert any("archiver" in fault or "joiner" in fault for fault in report.faults)
