"""Reading ahead gives what reading gives, whatever happens in between."""

from __future__ import annotations

import pytest
import redis

from policy_learner.join.read_ahead import ReadAhead
from policy_learner.join.streams import Wanted, read_all_after
from sidecar.contracts.store import StoreError

STREAMS = [f"s{n}" for n in range(6)]
WANTED = [Wanted(stream, "0-0") for stream in STREAMS]


def fill(store: redis.Redis, count: int) -> None:
    for n in range(count):
        for stream in STREAMS[:-1]:  # the last one is empty
            store.xadd(stream, {"k": "F", "d": bytes([n, 255])})


def test_what_was_asked_for_is_what_would_be_read_now(store: redis.Redis) -> None:
    fill(store, 3)
    ahead = ReadAhead(store)
    ahead.ask(WANTED, 2)
    assert ahead.read(WANTED, 2) == ahead.read_side_by_side(WANTED, 2)
    assert ahead.read(WANTED, 2) == read_all_after(store, WANTED, 2)


def test_what_came_after_it_was_asked_for_is_read_too(store: redis.Redis) -> None:
    fill(store, 1)
    ahead = ReadAhead(store)
    ahead.ask(WANTED, 3)
    fill(store, 1)
    assert [len(entries) for entries in ahead.read(WANTED, 3)] == [2, 2, 2, 2, 2, 0]


def test_something_else_may_be_read_than_was_asked_for(store: redis.Redis) -> None:
    fill(store, 4)
    ahead = ReadAhead(store)
    ahead.ask(WANTED, 2)
    later = [Wanted(STREAMS[0], read_all_after(store, WANTED, 2)[0][-1][0])]
    assert ahead.read(later, 2) == read_all_after(store, later, 2)
    ahead.ask(WANTED, 2)
    ahead.ask(later, 2)
    assert ahead.read(later, 2) == read_all_after(store, later, 2)


def test_no_connection_is_lost(store: redis.Redis) -> None:
    fill(store, 1)
    ahead = ReadAhead(store)
    for _ in range(20):
        ahead.ask(WANTED, 1)
        ahead.ask(WANTED, 1)
        assert ahead.read(WANTED[1:], 1) == read_all_after(store, WANTED[1:], 1)


def test_a_stream_that_is_none_is_said_as_by_reading(store: redis.Redis) -> None:
    fill(store, 2)
    store.set("text", "x")
    wanted = [WANTED[0], Wanted("text", "0-0"), WANTED[1]]
    ahead = ReadAhead(store)
    ahead.ask(wanted, 1)
    with pytest.raises(StoreError, match="WRONGTYPE"):
        ahead.read(wanted, 1)
    assert ahead.read(WANTED, 1) == read_all_after(store, WANTED, 1)


def test_a_connection_that_broke_is_made_anew(store: redis.Redis) -> None:
    fill(store, 2)
    ahead = ReadAhead(store)
    ahead.ask(WANTED, 1)
    store.client_kill_filter(_type="normal", skipme=True)
    assert ahead.read(WANTED, 1) == read_all_after(store, WANTED, 1)


class OfItsOwnKind(redis.Redis):
    """Stands for a cluster's client, which gives out only what replicas have."""


def test_a_client_of_a_kind_of_its_own_is_asked_in_its_own_way(store: redis.Redis) -> None:
    """Not behind its back, through its connections: a failover could take back what was learnt."""
    fill(store, 2)
    client = OfItsOwnKind(connection_pool=store.connection_pool)
    ahead = ReadAhead(client)
    asked = []
    client.pipeline = lambda *given, **named: asked.append(1) or store.pipeline(*given, **named)
    ahead.ask(WANTED, 2)
    assert ahead.read(WANTED, 2) == ahead.read_side_by_side(WANTED, 2) == read_all_after(store, WANTED, 2)
    assert len(asked) == 2
