"""Round trips without a store: who travels together, who is asked again, and whose trouble is whose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from decision_service.sources.errors import SourceAway
from decision_service.sources.readings import Found, Known
from decision_service.sources.trips import Trips
from sidecar.contracts.feature_table import Column, TableRecord, encode_record
from sidecar.contracts.line import Heard
from sidecar.contracts.lines import Command


def record(generation: str) -> bytes:
    return encode_record(
        TableRecord("t", generation, "", ("id",), (Column("id", "String"),), 1, 1, 0),
    )


class Store:
    """Holds every key, as its own row; answers when it is told to, or at once."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.asked: list[Sequence[Command]] = []
        self.waiting: list[Callable[[], None]] = []
        self.at_once = at_once
        self.records: list[bytes] = [record("1")]
        self.known: dict[str, Known] = {}

    def table(self, name: str) -> Known:
        return self.known.setdefault(name, Known("shop", name))

    def ask(self, commands: Sequence[Command], heard: Heard) -> None:
        self.asked.append(commands)
        self.waiting.append(lambda: heard([self.reply(command) for command in commands]))
        if self.at_once:
            self.answer()

    def reply(self, command: Command) -> object:
        if command[0] == "HMGET":
            return [str(key).encode() for key in command[2:]]
        return self.records.pop(0) if len(self.records) > 1 else self.records[0]

    def answer(self) -> None:
        self.waiting.pop(0)()


def trips_to(store: Store, *, max_batch: int = 256, in_flight: int = 1, few: int = 0) -> Trips:
    for name in "abc":
        store.table(name).see(record("1"))
    return Trips(store, store.table, max_batch=max_batch, in_flight=in_flight, few=few)


def keys_of(commands: Sequence[Command]) -> list[tuple[object, ...]]:
    return [command[2:] for command in commands if command[0] == "HMGET"]


async def turns() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def test_who_asks_in_one_turn_travels_together_and_each_key_once() -> None:
    """A command a table; each is told what was found of all."""
    store = Store()
    trips = trips_to(store)
    asked = [trips.put("a", ("x", "y")), trips.put("b", ("x",)), trips.put("a", ("y", "z"))]
    ends = await asyncio.gather(*asked)
    assert [keys_of(commands) for commands in store.asked] == [[("x", "y", "z"), ("x",)]]
    assert ends[0] is ends[2]
    assert isinstance(ends[0], Found)
    assert ends[0].rows == {"x": b"x", "y": b"y", "z": b"z"}


@pytest.mark.parametrize(("few", "together"), [(0, [("x", "y")]), (1, [("x",)])])
async def test_few_wait_for_no_turn_that_may_bring_more(few: int, together: list[tuple[str, ...]]) -> None:
    """They are a batch's only ones already, and each turn may be somebody's work."""
    store = Store()
    trips = trips_to(store, few=few)
    first = trips.put("a", ("x",))
    asyncio.get_running_loop().call_soon(trips.put, "a", ("y",))
    await first
    assert keys_of(store.asked[0]) == together


async def test_no_trip_is_longer_than_the_limit() -> None:
    """The next one has the rest."""
    store = Store()
    trips = trips_to(store, max_batch=2)
    await asyncio.gather(*(trips.put("a", (key,)) for key in "vwxyz"))
    assert [keys_of(commands) for commands in store.asked] == [[("v", "w")], [("x", "y")], [("z",)]]


@pytest.mark.parametrize(("in_flight", "few", "at_once"), [(1, 0, 1), (2, 0, 2), (1, 2, 2), (2, 8, 3)])
async def test_what_comes_while_enough_are_away_is_the_next_trip(
    in_flight: int, few: int, at_once: int
) -> None:
    """One more goes as long as there are few; when one comes back, all who wait go."""
    store = Store(at_once=False)
    trips = trips_to(store, in_flight=in_flight, few=few)
    asked = []
    for key in "uvwxyz":
        asked.append(trips.put("a", (key,)))
        await turns()
    assert len(store.asked) == at_once
    while store.waiting:
        store.answer()
        await turns()
    assert all(end.done() for end in asked)
    assert keys_of(store.asked[-1]) == [tuple("uvwxyz"[at_once:])]


async def test_nothing_is_asked_for_those_who_have_left() -> None:
    """Neither before it is sent nor afterwards is that anybody else's trouble."""
    store = Store(at_once=False)
    trips = trips_to(store)
    gone, leaving, patient = (trips.put("a", (key,)) for key in "xyz")
    gone.cancel()
    await turns()
    leaving.cancel()
    store.answer()
    assert isinstance(await patient, Found)
    assert keys_of(store.asked[0]) == [("y", "z")]
    trips.put("a", ("x",)).cancel()
    await turns()
    assert len(store.asked) == 1


async def test_only_tables_that_changed_are_asked_again() -> None:
    """Within the same call, by the new record."""
    store = Store()
    store.records = [record("2"), record("1"), record("2")]
    trips = trips_to(store)
    ends = await asyncio.gather(trips.put("a", ("x",)), trips.put("b", ("y",)))
    assert [len(commands) for commands in store.asked] == [4, 2]
    assert [end.record.generation for end in ends if isinstance(end, Found)] == ["2", "1"]


async def test_a_table_that_changes_again_and_again_is_away() -> None:
    """After three tries; its neighbours are not."""
    store = Store()
    store.records = [record("2"), record("1"), record("3"), record("4")]
    trips = trips_to(store)
    ends = await asyncio.gather(trips.put("a", ("x",)), trips.put("b", ("y",)))
    assert len(store.asked) == 3
    assert isinstance(ends[0], SourceAway)
    assert "again and again" in str(ends[0])
    assert isinstance(ends[1], Found)


@pytest.mark.parametrize("reply", [[b"too few"], None])
async def test_a_reply_that_is_none_is_an_error_of_those_who_asked(reply: object) -> None:
    """Not a hang, and the next trip goes."""
    store = Store()
    odd = True
    tell = store.reply
    store.reply = lambda command: reply if odd and command[0] == "HMGET" else tell(command)
    trips = trips_to(store)
    with pytest.raises((ValueError, TypeError)):
        await trips.put("a", ("x", "y"))
    odd = False
    assert isinstance(await trips.put("a", ("x",)), Found)


async def test_a_conversation_that_is_cancelled_cancels_those_who_wait() -> None:
    """As when the loop ends."""
    store = Store()
    store.ask = lambda commands, heard: heard(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await trips_to(store).put("a", ("x",))


async def test_what_cannot_be_asked_is_an_error_too() -> None:
    """Of those who asked for it."""
    store = Store()
    trips = trips_to(store)

    def ask(commands: Sequence[Command], heard: Heard) -> None:
        raise OverflowError

    store.ask = ask
    with pytest.raises(OverflowError):
        await trips.put("a", ("x",))
