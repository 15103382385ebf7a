"""Calls of the log's script: begun with no task, finished by one where the store says anything unusual."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import redis

from decision_service.errors import StoreAway
from decision_service.log_calls import Limits, LogCalls
from sidecar.contracts.ids import new_decision_id
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.decide import DecideEntry

KEYS = [Keys("shop", 0), Keys("shop", 1)]
LOST = redis.ConnectionError("lost")
FULL = redis.exceptions.OutOfMemoryError("command not allowed")
FORGOTTEN = redis.exceptions.NoScriptError("No matching script")


def lot(*partitions):
    """A decision for each."""
    ids = [new_decision_id(where, 1_700_000_000_000, n) for n, where in enumerate(partitions)]
    return [(where, DecideEntry(i, "s", "sku", 1000, b"p")) for where, i in zip(partitions, ids, strict=True)]


def logged(entries, *partitions):
    """The raw replies of a store that logs everything."""
    return [[f"9|{one.decision_id}".encode() for at, one in entries if at == where] for where in partitions]


class Store:
    """Says what a test wants, when it wants; ``later`` is what it says to who asks once more."""

    def __init__(self, *later):
        self.asked, self.later, self.settled = [], list(later), []
        self.client = SimpleNamespace()
        self.calls = LogCalls(self, KEYS, Limits(100, 1000), 64, self)

    def ask_all(self, calls, heard):
        self.asked.append(heard)

    async def run_all(self, calls):
        said = self.later.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    async def retold(self, calls, replies):
        return [self.later.pop(0) if reply is FORGOTTEN else reply for reply in replies]

    def settle_decisions(self, ids):
        self.settled += ids


async def test_what_is_logged_is_told_in_order_and_with_no_task():
    """However its partitions lie."""
    store, entries, tasks = Store(), lot(1, 0, 1), asyncio.all_tasks()

    told = store.calls.put(entries)
    store.asked[0](logged(entries, 1, 0))

    assert asyncio.all_tasks() == tasks
    assert [one.decision_id for one in told.result()] == [one.decision_id for _, one in entries]
    assert {(one.status, one.deadline_ms, one.payload) for one in told.result()} == {("OK", 9, None)}
    assert store.settled == [one.decision_id for _, one in entries]


async def test_a_third_lot_waits_for_one_of_two():
    """And goes with those that came meanwhile."""
    entries = lot(0)
    store = Store(logged(entries * 2, 0))
    told = [store.calls.put(entries) for _ in range(4)]
    await asyncio.sleep(0)
    assert (len(store.asked), len(store.later)) == (2, 1)

    store.asked[0](logged(entries, 0))

    assert [len(one) for one in await asyncio.gather(told[0], *told[2:])] == [1, 1, 1]
    assert not told[1].done()


async def test_a_lot_waits_also_for_those_that_were_gathered():
    """Two calls are under way at most, however each of them began."""
    entries, store, gathered = lot(0), Store(), []
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def run_all(calls):
        gathered.append((len(calls[0].keys) - 5) // 4)  # decisions
        begun.set()
        await goes_on.wait()
        return logged(entries * gathered[-1], 0)

    store.run_all = run_all
    told = [store.calls.put(entries) for _ in range(3)]
    store.asked[0](logged(entries, 0))
    await begun.wait()
    told += [store.calls.put(entries) for _ in range(2)]
    assert (len(store.asked), gathered) == (2, [1])  # one of each is away, and two wait
    goes_on.set()
    await told[2]
    store.asked[1](logged(entries, 0))
    assert [len(one) for one in await asyncio.gather(*told)] == [1] * 5
    assert (len(store.asked), gathered) == (2, [1, 2])


@pytest.mark.parametrize(
    ("said", "later", "status"),
    [
        (LOST, [[[b"9|0-1"]]], "OK"),
        ([LOST], [[[b"9|0-1"]]], "OK"),
        ([FORGOTTEN], [[b"9|0-1"]], "OK"),
        ([FULL], [], "FULL"),
        ([[[b"DUP", b"0-1", b"9|payload"]]], [], "DUP"),
        ([[[b"SHED", b"0-1", b""]]], [], "SHED"),
    ],
)
async def test_whatever_else_the_store_says_is_seen_to(said, later, status):
    """A lost reply is asked for once more; what stands, is not logged, or not taken, is told."""
    store = Store(*later)
    told = store.calls.put(lot(0))

    store.asked[0](said)

    assert [one.status for one in await told] == [status]
    assert (store.later, bool(store.settled)) == ([], status in ("OK", "DUP"))


@pytest.mark.parametrize(
    ("said", "later"), [(LOST, [LOST]), ([redis.ResponseError("BADBATCH")], []), (OSError(), [])]
)
async def test_where_nothing_is_certain_the_store_is_away(said, later):
    """It was asked twice at most, and the next lot goes straight to it again."""
    store = Store(*later)
    told = store.calls.put(lot(0))
    store.asked[0](said)

    with pytest.raises(StoreAway):
        await told
    assert store.later == []
    for number in (2, 3):
        store.calls.put(lot(0))
        assert len(store.asked) == number


@pytest.mark.parametrize("said", [[[b"garbage"]], [[b"9|0-1", b"9|0-2"]], []])
async def test_a_reply_that_nobody_understands_holds_up_nobody_else(said):
    """It is its callers' matter."""
    store = Store()
    for number in (1, 2, 3):
        told = store.calls.put(lot(0))
        store.asked[-1](said)
        with pytest.raises(ValueError, match=r"literal|argument 2"):
            await told
        assert len(store.asked) == number


async def test_what_is_heard_too_late_still_counts_as_heard():
    """Its caller has gone on and spooled it: the spool need not keep it."""
    store, entries = Store(), lot(0)
    told = store.calls.put(entries)
    told.cancel()

    store.asked[0](logged(entries, 0))

    assert store.settled == [entries[0][1].decision_id]


async def test_what_cannot_be_asked_is_its_callers_matter_and_nobody_is_away():
    """An id that is none of ours."""
    store = Store()
    for _ in range(3):
        with pytest.raises(ValueError, match="no decision id"):
            store.calls.put([(0, DecideEntry("odd", "s", "sku", 1000, b"p"))])
    store.calls.put(lot(0))
    assert len(store.asked) == 1


async def test_whoever_is_cut_off_is_cut_off():
    """The process ends."""
    store = Store()
    told = store.calls.put(lot(0))
    store.asked[0](asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await told
