"""The spool: durable before it is acknowledged, bounded, emptied by what the store has heard of."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
import sys
import zlib
from functools import partial

import pytest

from decision_service import spool_files
from decision_service.errors import SpoolFailed
from decision_service.spool import Spool
from decision_service.spool_files import REFUSED
from sidecar.contracts.application import Exploration
from sidecar.contracts.events import DecisionEvent, encode_decision
from sidecar.contracts.spooled import Spooled, encode_spooled, spooled_in

LIMIT_BYTES = 1 << 20


def spool_in(root, limit_bytes: int = LIMIT_BYTES) -> Spool:
    return Spool(root, limit_bytes, 10.0, lambda: 1_700_000_000_000)


def decision(**fields) -> DecisionEvent:
    return DecisionEvent(
        **{
            "decision_id": "0-18bcfe5680000000000000000ff",
            "session_id": "s",
            "unit_id": "u",
            "decided_at_ms": 1,
            "horizon_ms": 1000,
            "source": "model",
            "policy": "champion",
            "model_version": 1,
            "catalogue": "c",
            "context": {},
            "outcomes": {},
            "arms": ("a",),
            "given_arms": {},
            "scores": b"\0" * 4,
            "exploration": Exploration(),
            "arm": "a",
            "arm_index": 0,
            "propensity": 1.0,
            "seed": "1",
            **fields,
        }
    )


def reward(key: str = "r", **fields: str) -> Spooled:
    named = "".join(f',"{name}":"{value}"' for name, value in fields.items())
    return Spooled("reward", 1, f'{{"reward_id":"{key}"{named}}}'.encode())


async def add_decision(spool: Spool, number: int = 1, **fields):
    event = decision(decision_id=f"0-18bcfe56800{number:016x}", **fields)
    await spool.add(Spooled("decision", 1, encode_decision(event)), event)
    return event


async def one_after_another(works) -> None:
    for work in works:
        await work()


def files_below(root):
    return sorted(path.name for path in root.rglob("*") if path.is_file())


async def test_nothing_is_written_before_it_is_needed_and_nothing_is_left(tmp_path):
    """A folder comes with the first record, and goes with the last."""
    root = tmp_path / "spool"
    spool = spool_in(root)
    assert not root.exists()
    await spool.add(reward())
    assert files_below(root) == ["00000001.spool", "lock"]

    spool.settle(spool.first(10))
    await spool.close()

    assert (len(spool), spool.bytes, files_below(root)) == (0, 0, [])


async def test_a_decision_is_found_by_its_id_and_by_its_clients_key(tmp_path):
    """As long as it waits."""
    spool = spool_in(tmp_path)
    event = await add_decision(spool, session_id="s", client_key="k")

    found, other = spool.decision(event.decision_id), spool.decision_of_key("s", "k")
    assert found is not None
    assert found is other
    assert found.event == event
    assert spool.decision_of_key("s", "other") is None
    spool.settle_decisions([event.decision_id, "nobody's"])
    assert spool.decision(event.decision_id) is None
    assert spool.decision_of_key("s", "k") is None
    await spool.close()


async def test_a_decision_is_found_by_what_its_session_keeps(tmp_path):
    """The last of several that were made under the same name; the names outlive a restart."""
    spool = spool_in(tmp_path)
    for number in (1, 2):
        event = decision(decision_id=f"0-18bcfe56800{number:016x}", session_id="s")
        await spool.add(Spooled("decision", 1, encode_decision(event), kept_as="asked"), event)
    found = spool.decision_kept("s", "asked")
    assert found is not None
    assert found.event == event
    assert spool.decision_kept("s", "") is None
    await spool.close()

    after = spool_in(tmp_path)
    await after.adopt()
    again = after.decision_kept("s", "asked")
    assert again is not None
    assert again.event == event
    after.settle(after.first(1))
    assert after.decision_kept("s", "asked") is not None
    after.settle(after.first(1))
    assert after.decision_kept("s", "asked") is None
    await after.close()


async def test_decisions_may_fill_nine_tenths_and_rewards_the_rest(tmp_path):
    """A reward that is refused is lost; a decision is answered all the same."""
    spool = spool_in(tmp_path, limit_bytes=20_000)
    with pytest.raises(SpoolFailed, match="full"):
        await one_after_another(partial(add_decision, spool, number) for number in range(200))
    assert 0.8 * 20_000 < spool.bytes <= 0.9 * 20_000

    await spool.add(reward())
    with pytest.raises(SpoolFailed, match="full"):
        await one_after_another(partial(spool.add, reward()) for _ in range(200))
    spool.settle(spool.first(10_000))
    await add_decision(spool)
    await spool.close()


async def test_without_room_nothing_is_spooled(tmp_path):
    """``spool_bytes = 0`` turns it off."""
    spool = spool_in(tmp_path, limit_bytes=0)
    with pytest.raises(SpoolFailed):
        await spool.add(reward())
    await spool.close()


async def test_what_a_dead_process_left_is_taken_over_once(tmp_path):
    """Its lock is free: whoever comes first has it, in the order in which it was written."""
    script = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from decision_service.spool import Spool\n"
        "from sidecar.contracts.spooled import Spooled\n"
        "async def main():\n"
        "    spool = Spool(Path(sys.argv[1]), 1 << 20, 10.0, lambda: 1)\n"
        "    for key in 'abc':\n"
        "        await spool.add(Spooled('reward', 1, key.encode()))\n"
        "    os._exit(9)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    assert await (await asyncio.create_subprocess_exec(*command)).wait() == 9
    first, second = spool_in(tmp_path), spool_in(tmp_path)

    assert await first.adopt() == 3
    assert await second.adopt() == 0
    assert [one.record.body for one in first.first(10).values()] == [b"a", b"b", b"c"]
    first.settle(first.first(10))
    await first.close()
    await second.close()
    assert files_below(tmp_path) == []


async def test_a_living_process_keeps_what_is_its(tmp_path):
    """Two services with one data folder do not send each other's records."""
    first, second = spool_in(tmp_path), spool_in(tmp_path)
    await first.add(reward("mine"))

    assert await second.adopt() == 0
    await first.close()
    assert await second.adopt() == 1
    await second.close()


async def test_a_service_that_ends_with_a_full_spool_leaves_it_to_the_next(tmp_path):
    """Decisions with their keys: repeats are recognised after a restart."""
    before = spool_in(tmp_path)
    event = await add_decision(before, session_id="s", client_key="k")
    await before.add(reward(session_id="s"))
    await before.close()
    after = spool_in(tmp_path)

    assert await after.adopt() == 2
    found = after.decision_of_key("s", "k")
    assert found is not None
    assert found.event == event
    assert [one.session for one in after.first(2).values()] == ["", "s"]
    assert after.bytes == before.bytes
    await after.close()


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 30])
def test_a_torn_record_ends_the_file(cut):
    """What was being written when the machine stopped was never acknowledged."""
    whole, torn = encode_spooled(reward("whole")), encode_spooled(reward("torn"))

    assert list(spooled_in(whole + torn[:cut])) == [reward("whole")]
    assert list(spooled_in(whole + torn[:-1] + b"?")) == [reward("whole")]
    assert list(spooled_in(whole + b"\xff" * 100)) == [reward("whole")]


def test_the_bytes_of_the_first_version_are_read_for_ever():
    """Written by one release, read by the next."""
    golden = bytes.fromhex(
        "1d0000002aa7fd5383a46b696e64a6726577617264a561745f6d7301a4626f6479c4027b7d"
        "380000008540b39985a46b696e64a86465636973696f6ea561745f6d7301a4626f6479c40178a46d6f6465a6617373756d65"
        "ab6465636973696f6e5f6964a164"
    )
    records = [Spooled("reward", 1, b"{}"), Spooled("decision", 1, b"x", "assume", "d")]

    assert list(spooled_in(golden)) == records
    assert b"".join(map(encode_spooled, records)) == golden


async def test_a_record_of_another_version_is_kept_aside(tmp_path):
    """A kind that this release does not know is not lost: the next one may."""
    strange = b"\x83\xa4kind\xa6future\xa5at_ms\x01\xa4body\xc4\x00"
    folder = tmp_path / "1-gone"
    folder.mkdir()
    (folder / "lock").touch()
    content = struct.pack("<II", len(strange), zlib.crc32(strange)) + strange
    (folder / "00000001.spool").write_bytes(content + encode_spooled(reward()))
    spool = spool_in(tmp_path)

    assert await spool.adopt() == 2
    assert len(spool) == 1
    assert strange in (tmp_path / REFUSED).read_bytes()
    await spool.close()


async def test_a_full_disk_refuses_and_a_disk_with_room_again_takes(tmp_path, monkeypatch):
    """Nothing half-written stands in the way of what comes later."""
    spool = spool_in(tmp_path)
    await spool.add(reward("before"))
    real, full = os.write, True

    def write(descriptor, content):
        if full:
            real(descriptor, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content)

    monkeypatch.setattr(spool_files.os, "write", write)
    with pytest.raises(SpoolFailed, match="No space left"):
        await spool.add(reward("lost"))
    full = False
    await spool.add(reward("after"))
    await spool.close()

    again = spool_in(tmp_path)
    assert await again.adopt() == 2
    assert [one.record for one in again.first(9).values()] == [reward("before"), reward("after")]
    await again.close()


async def test_what_will_never_be_sent_is_kept_aside(tmp_path):
    """For a person to look at."""
    spool = spool_in(tmp_path)
    await spool.add(reward("bad"))
    await spool.add(reward("good"))

    await spool.refuse([next(iter(spool.first(1)))])

    assert [one.record for one in spool.first(9).values()] == [reward("good")]
    assert list(spooled_in((tmp_path / REFUSED).read_bytes())) == [reward("bad")]
    await spool.close()


async def test_files_are_for_their_owner_only(tmp_path):
    """They hold contexts."""
    spool = spool_in(tmp_path / "spool")
    await spool.add(reward())
    (file,) = (tmp_path / "spool").glob("*/*.spool")

    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    await spool.close()
