"""Connections: nothing is retried, nothing waits for ever, every form of address works."""

from __future__ import annotations

import socket
import threading

import pytest
import redis

from sidecar.contracts.errors import BadSettings
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.orphan import orphan_call
from sidecar.contracts.store import (
    AsyncScripts,
    Scripts,
    StoreError,
    connect,
    connect_async,
    connect_reader,
    connect_reader_async,
)
from tests.waiting import until


class Listener:
    """A store that takes connections and never says anything, or hangs up on what it read."""

    def __init__(self, path, hangs_up):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.hangs_up, self.taken = hangs_up, []
        self.thread = threading.Thread(target=self._take, daemon=True)
        self.thread.start()

    def _take(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.taken.append(peer)
            if self.hangs_up:
                peer.recv(4096)
                peer.close()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)
        for peer in self.taken:
            peer.close()


@pytest.fixture(params=[False, True], ids=["black hole", "hangs up"])
def broken(request, data_folder):
    data_folder.root.mkdir(exist_ok=True)
    listener = Listener(data_folder.root / "b.sock", request.param)
    yield f"unix://{data_folder.root}/b.sock", listener
    listener.close()


def test_a_broken_store_is_asked_once(broken):
    """One connection, one error: whoever called decides what may be repeated."""
    url, listener = broken
    with connect(url, timeout_s=0.05) as client, pytest.raises(StoreError):
        client.incr("n")
    until(lambda: listener.taken)
    assert len(listener.taken) == 1


async def test_a_broken_store_is_asked_once_on_an_event_loop(broken):
    """The same for the request path."""
    url, listener = broken
    client = connect_async(url, timeout_s=0.05)
    with pytest.raises(StoreError):
        await client.incr("n")
    await client.aclose()
    until(lambda: listener.taken)
    assert len(listener.taken) == 1


async def test_an_exhausted_pool_refuses_after_a_moment(store_url):
    """The caller of one too many neither queues for ever nor opens another connection."""
    client = connect_async(store_url, timeout_s=10.0, max_connections=1)
    async with client.pubsub() as holder:  # keeps the only connection
        await holder.subscribe("anything")
        with pytest.raises(StoreError, match="No connection available"):
            await client.ping()
    assert await client.ping()
    await client.aclose()


async def test_a_blocking_read_outlasts_its_block(store_url):
    """A reader's timeout is longer than what it asks the store to wait for."""
    with connect_reader(store_url, block_s=0.02) as client:
        assert not client.xread({"nothing": "$"}, block=20)
    on_loop = connect_reader_async(store_url, block_s=0.02)
    assert not await on_loop.xread({"nothing": "$"}, block=20)
    await on_loop.aclose()


async def test_scripts_come_back_after_the_store_forgot_them(store, store_url):
    """A restart or a flush is not seen by the caller."""
    call = orphan_call(Keys("shop", 0), ["0-18bcfe568000000000000000000"])
    client = connect_async(store_url, timeout_s=10.0)
    on_loop, direct = AsyncScripts.on(client), Scripts.on(store)
    for _ in range(2):
        store.script_flush()
        assert await on_loop.run(call) == 0
        store.script_flush()
        assert direct.run(call) == 0
    await client.aclose()


def test_groups_of_calls_are_answered_in_their_order(store):
    """Also by a store that forgot the script; each group is made once the one before it is under way."""
    scripts, keys, made = Scripts.on(store), Keys("shop", 0), []
    store.script_flush()

    def groups():
        for size in (1, 0, 3, 2):
            made.append(size)
            yield [orphan_call(keys, [])] * size

    answers = scripts.run_in_turn(groups())
    assert (next(answers), made) == ([0], [1, 0])
    assert list(answers) == [[], [0, 0, 0], [0, 0]]


def test_an_error_among_groups_leaves_no_answer_for_others(store_url):
    """What was sent and is not read any more goes with its connection, and the pool has them all again."""
    with connect(store_url, max_connections=2) as client:
        scripts, keys = Scripts.on(client), Keys("shop", 0)
        right = orphan_call(keys, [])
        wrong = right._replace(args=("no id",))
        for _ in range(3):
            with pytest.raises(redis.ResponseError):
                list(scripts.run_in_turn([[right], [wrong, right], [right], [right]]))
            assert scripts.run_all([right]) == [0]
            dropped = scripts.run_in_turn([[right], [right]])
            next(dropped)
            dropped.close()


def test_a_store_that_goes_away_is_said(broken):
    """As by any other call."""
    with connect(broken[0], timeout_s=0.05) as client, pytest.raises(StoreError):
        list(Scripts.on(client).run_in_turn([[orphan_call(Keys("shop", 0), [])]] * 3))


async def test_a_socket_may_be_named_by_a_relative_path(store_url, monkeypatch, data_folder):
    """A long data folder is reached that way."""
    folder, _, name = store_url.removeprefix("unix://").rpartition("/")
    monkeypatch.chdir(folder)
    with connect(f"unix://{name}") as client:
        assert client.ping()
    monkeypatch.chdir(folder.rpartition("/")[0])
    on_loop = connect_async(f"unix://{folder.rpartition('/')[2]}/{name}", timeout_s=10.0)
    assert await on_loop.ping()
    await on_loop.aclose()


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "/run/store.sock"])
def test_what_is_no_address_is_refused_with_the_legal_forms(url):
    """A typo in REDIS_URL is a setting's error."""
    for connecting in (connect, connect_async):
        with pytest.raises(BadSettings, match="unix://"):
            connecting(url)


def test_a_tcp_address_is_taken_as_it_is():
    """Host, port, database and password."""
    with connect("redis://:secret@example.org:7000/3") as client:
        settings = client.connection_pool.connection_kwargs
    assert (settings["host"], settings["port"], settings["db"], settings["password"]) == (
        "example.org", 7000, 3, "secret"
    )  # fmt: skip
    assert isinstance(client.connection_pool, redis.BlockingConnectionPool)
