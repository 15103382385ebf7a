"""Chains of Parquet files: each position in one file, whoever writes and whatever dies."""

from __future__ import annotations

import threading
from datetime import date

import pyarrow as pa
import pytest

from policy_learner import failpoints
from policy_learner.archive import chain
from policy_learner.archive.chain import Span
from policy_learner.archive.rows import LATE
from policy_learner.errors import BrokenChain

DAY = date(2026, 1, 1)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "late" / "app=x"


def table(*positions):
    row = {"decision_id": "d", "kind": "L", "reward_key": "k", "at": 0, "value": 1.0, "event": "", "arm": ""}
    return pa.Table.from_pylist([row | {"partition": 0, "position": p} for p in positions], schema=LATE)


def append(folder, after, first, last, day=DAY, lane=0):
    return chain.append(folder, lane, day, first, Span(after, last), table(first, last))


def test_an_empty_lane_begins_at_the_start(folder):
    """Nothing on disk, no folder even: everything is still to come."""
    assert chain.end_of(folder, 0) == "0-0"


def test_the_end_of_the_last_file_is_where_to_go_on(folder):
    """Whatever the order of names as text: positions are numbers."""
    append(folder, "0-0", "900-0", "999-0")
    append(folder, "999-0", "1000-0", "1000-11")
    append(folder, "0-0", "5-0", "6-0", lane=1)
    assert chain.end_of(folder, 0) == "1000-11"
    assert chain.end_of(folder, 1) == "6-0"
    chain.verify(folder, 0)


def test_the_same_start_cannot_be_written_twice(folder):
    """The second writer loses, and the first one's file stands untouched."""
    path = append(folder, "0-0", "5-0", "9-0")
    before = path.read_bytes()
    assert append(folder, "0-0", "5-0", "7-0") is None
    assert path.read_bytes() == before
    assert chain.end_of(folder, 0) == "9-0"


def test_of_writers_that_race_exactly_one_wins(folder):
    """Eight at once: one file, whole, and no half-written one left."""
    won = []
    start = threading.Barrier(8)

    def write(n):
        start.wait()
        if append(folder, "0-0", "5-0", f"{9 + n}-0"):
            won.append(f"{9 + n}-0")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [chain.end_of(folder, 0)] == won
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["0-5-0.parquet"]


@pytest.mark.parametrize("moment", ["file begun", "file written"], ids=["begun", "written"])
def test_a_writer_that_was_paused_finds_the_name_taken(folder, moment):
    """After it looked, another wrote the same stretch and more: that file stands, the late one has lost."""
    others = []

    def overtaken(reached):
        if reached == moment and not others:
            others.append(None)
            others[0] = append(folder, "0-0", "5-0", "9-0")

    failpoints.arm(overtaken)
    try:
        assert append(folder, "0-0", "5-0", "7-0") is None
    finally:
        failpoints.arm(None)
    assert others[0] is not None
    assert chain.end_of(folder, 0) == "9-0"


def test_a_half_written_file_is_never_seen_and_is_swept(folder):
    """Neither the chain nor a reader of the folder takes it for a file."""
    append(folder, "0-0", "5-0", "9-0")
    (folder / "dt=2026-01-01" / ".writing-0-10-0.abc").write_bytes(b"PAR1 half")
    assert [link.first for link in chain.links(folder, 0)] == ["5-0"]
    assert chain.sweep(folder) == 1
    assert chain.sweep(folder) == 0


def test_a_writer_whose_file_was_swept_has_lost(folder, monkeypatch):
    """A successor swept while it wrote: no crash, no file, it reads the chain again."""
    write = chain._write

    def swept(path, rows):
        write(path, rows)
        chain.sweep(folder)

    monkeypatch.setattr(chain, "_write", swept)
    assert append(folder, "0-0", "5-0", "9-0") is None
    assert chain.end_of(folder, 0) == "0-0"


def test_a_gap_in_the_chain_is_noticed(folder):
    """The file in the middle is gone: the one after it does not begin where the first ends."""
    append(folder, "0-0", "1-0", "2-0")
    gone = append(folder, "2-0", "3-0", "4-0")
    append(folder, "4-0", "5-0", "6-0")
    chain.verify(folder, 0)
    gone.unlink()
    with pytest.raises(BrokenChain, match="begins after 4-0"):
        chain.verify(folder, 0)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"not parquet at all"])
def test_a_damaged_file_is_named(folder, data):
    """The error says which file."""
    path = append(folder, "0-0", "1-0", "2-0")
    path.write_bytes(data)
    with pytest.raises(BrokenChain, match="0-1-0"):
        chain.end_of(folder, 0)
