"""While the store does not answer a session is given what it was given before, as far as is known here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from decision_service.beside import Beside
from decision_service.remembered import Remembered
from decision_service.spool import Spool
from sidecar.contracts.events import decode_decision, encode_decision
from sidecar.contracts.scripts.decide import Decided, DecideStatus
from tests.decision_service.test_spool import LIMIT_BYTES, decision

IDS = [f"0-18bcfe56800{number:016x}" for number in range(8)]


@dataclass
class Clock:
    now_ms: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


def keyed(number: int, key: str = "k", digest: str = "same"):
    return decision(decision_id=IDS[number], client_key=key, digest=digest)


def stands(decision_id: str) -> Decided:
    return Decided(DecideStatus.OK, decision_id, 5)


def test_what_the_store_took_is_answered_again_without_it():
    """Under the client's key, with the decision as it was; another body under that key is a conflict."""
    remembered = Remembered(0, Clock())
    event = keyed(0)
    remembered.note(event, "", stands(IDS[0]), encode_decision(event))

    again = remembered.find(keyed(1), "")
    other = remembered.find(keyed(1, digest="other"), "")

    assert again is not None
    assert other is not None
    assert (again.status, again.decision_id, again.deadline_ms) == (DecideStatus.DUP, IDS[0], 5)
    assert decode_decision(again.payload or b"") == event
    assert other == Decided(DecideStatus.CONFLICT, IDS[0])
    assert remembered.find(keyed(1, key="another"), "") is None
    assert remembered.find(decision(decision_id=IDS[1]), "") is None


def test_what_was_not_logged_is_not_remembered():
    """Its repeat has a chance of being logged."""
    remembered = Remembered(0, Clock())
    for status in (DecideStatus.FULL, DecideStatus.SHED, DecideStatus.CONFLICT):
        remembered.note(keyed(0), "", Decided(status, IDS[0]), b"payload")
    remembered.note(keyed(0), "", Decided(DecideStatus.FIN, IDS[1]), b"payload")  # whose bytes are gone
    assert remembered.find(keyed(2), "") is None


def test_a_session_keeps_it_for_its_window_from_the_decision_on():
    """Repeats do not make the window longer."""
    clock = Clock()
    remembered = Remembered(1000, clock)
    event = decision(decision_id=IDS[0])
    remembered.note(event, "asked", stands(IDS[0]), encode_decision(event))
    clock.now_ms += 999
    again = remembered.find(decision(decision_id=IDS[1]), "asked")
    assert again is not None
    remembered.note(decision(decision_id=IDS[1]), "asked", again, b"")
    clock.now_ms += 1
    assert remembered.find(decision(decision_id=IDS[2]), "asked") is None


def test_the_oldest_are_forgotten_when_it_is_full():
    """So that memory is bounded, whatever is asked."""
    remembered = Remembered(0, Clock(), most_bytes=3000)
    for number in range(8):
        event = keyed(number, key=str(number))
        remembered.note(event, "", stands(event.decision_id), b"x" * 600)
    found = [number for number in range(8) if remembered.find(keyed(0, key=str(number)), "")]
    assert found == [5, 6, 7]


async def test_two_who_ask_at_once_under_one_key_are_given_the_same(tmp_path):
    """The second waits for the disk as the first does."""
    spool = Spool(tmp_path, LIMIT_BYTES, 10.0, Clock())
    beside = Beside(spool, "wait", 0)
    told = await asyncio.gather(*(beside.append(keyed(number), True, "") for number in range(4)))
    assert {one.decision_id for one in told} == {IDS[0]}
    assert len(spool) == 1
    spool.settle(spool.first(10))  # the store has it, and is away again
    later = await beside.append(keyed(5), True, "")
    assert (later.decision_id, len(spool)) == (IDS[0], 0)
    only_asked = await beside.append(keyed(6, key="new"), False, "")
    assert only_asked.status is DecideStatus.SHED
    await spool.close()


async def test_who_cannot_be_written_down_leaves_the_place_to_the_next(tmp_path):
    """A full spool answers without logging, and nobody is told of a decision that is not kept."""
    beside = Beside(Spool(tmp_path, 10, 10.0, Clock()), "wait", 0)
    told = await asyncio.gather(*(beside.append(keyed(number), True, "") for number in range(3)))
    assert [one.status for one in told] == [DecideStatus.FULL] * 3
    assert [one.decision_id for one in told] == IDS[:3]
