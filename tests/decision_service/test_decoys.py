"""Decoys keep what models were given, as they were given it, within bounds."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from decision_service import decoys as module
from decision_service.decoys import Decoys
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.inputs import ArchivedInput, decode_inputs, encode_inputs
from sidecar.contracts.roster import FIRST_ROSTER, Model
from sidecar.contracts.roster_changes import with_model
from sidecar.contracts.wire import ScoreRow

ROW = ScoreRow({"device": "ios", "hour": 21.0}, (0, 2))


def roster(**shares):
    made = FIRST_ROSTER
    for name, share in shares.items():
        made = with_model(made, Model(name=name, role="decoy", share=share))
    return made


@pytest.fixture
def told():
    return Counter()


@pytest.fixture
def decoys(tmp_path, told):
    def tell(name, fate, count):
        told[name, fate] += count

    return Decoys(lambda name: tmp_path / name, 1 << 30, b"secret", lambda: 1_700_000_000_000, tell)


def archived(folder):
    return [one for file in sorted(folder.glob("*.inputs")) for one in decode_inputs(file.read_bytes())]


def test_each_decoy_keeps_its_share(decoys, told, tmp_path):
    """Always the same decisions; none where nobody is a decoy."""
    models = roster(all=1.0, some=0.25, none=0.0)
    for number in range(4_000):
        decoys.offer(models, f"0-{number}", "v1", ROW)
    decoys.offer(FIRST_ROSTER, "0-x", "v1", ROW)
    decoys.write()
    assert [one.decision_id for one in archived(tmp_path / "all")] == [f"0-{n}" for n in range(4_000)]
    assert archived(tmp_path / "all")[7] == ArchivedInput("0-7", 1_700_000_000_000, "v1", ROW)
    assert 850 < len(archived(tmp_path / "some")) < 1_150
    assert told == {("all", "archived"): 4_000, ("some", "archived"): len(archived(tmp_path / "some"))}


def test_what_the_disk_does_not_take_in_time_is_dropped_and_counted(decoys, told, tmp_path):
    for number in range(10_007):
        decoys.offer(roster(all=1.0), f"0-{number}", "v1", ROW)
    decoys.write()
    assert told == {("all", "dropped"): 7, ("all", "archived"): 10_000}


def test_a_folder_that_cannot_be_made_harms_nobody(decoys, told, tmp_path):
    (tmp_path / "all").write_text("a file is in the way")
    decoys.offer(roster(all=1.0), "0-1", "v1", ROW)
    decoys.write()
    assert told == {("all", "dropped"): 1}


def test_the_oldest_files_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FILE_BYTES", 1_000)
    clock = iter(range(10_000))
    decoys = Decoys(lambda name: tmp_path / name, 5_000, b"secret", lambda: next(clock), lambda *_: None)
    for number in range(300):
        decoys.offer(roster(all=1.0), f"0-{number}", "v1", ROW)
        decoys.write()
    kept = [one.decision_id for one in archived(tmp_path / "all")]
    assert kept == [f"0-{number}" for number in range(300 - len(kept), 300)]
    assert sum(file.stat().st_size for file in (tmp_path / "all").iterdir()) < 6_000


async def test_what_waits_at_the_end_is_written(decoys, tmp_path):
    writing = asyncio.create_task(decoys.keep_writing())
    await asyncio.sleep(0)
    decoys.offer(roster(all=1.0), "0-1", "v1", ROW)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert len(archived(tmp_path / "all")) == 1


def test_a_torn_end_is_left_out_and_foreign_bytes_are_refused():
    whole = encode_inputs([ArchivedInput("0-1", 1, "v1", ROW), ArchivedInput("0-2", 2, "v1", ROW)])
    for cut in range(len(whole)):
        assert len(list(decode_inputs(whole[:cut]))) == (cut >= len(whole) // 2)
    with pytest.raises(BadEvent):
        list(decode_inputs(b"\x00\x00\x00\x01\xc1"))
