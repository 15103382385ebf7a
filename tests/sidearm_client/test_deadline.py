"""A call's timeout holds for all of it, however its service spends the time. Real sockets, real httpx."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from sidearm_client import AsyncClient, Client, Retries
from sidearm_client.retrying import Attempts

HEAD = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n"
TIMEOUT_S, EVERY_S, BYTES = 0.3, 0.02, 1_000
"""A byte comes long before any timeout of one read; all of them take twenty seconds."""


class Dribbling:
    """Says ``first`` to whoever comes, and then a byte now and then."""

    def __init__(self, first: bytes) -> None:
        self._first, self._done = first, threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.finished = 0
        """Connections on which it could say everything."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up."""
        self._done.set()
        self._listening.shutdown(socket.SHUT_RDWR)  # which ends a thread's waiting for callers
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while not self._done.is_set():
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            with closing(connected):
                self._talk(connected)

    def _talk(self, connected: socket.socket) -> None:
        try:
            connected.sendall(self._first)
            for _ in range(BYTES):
                if self._done.wait(EVERY_S):
                    return
                connected.sendall(b" ")
        except OSError:
            return
        self.finished += 1


@contextmanager
def dribbling(first: bytes) -> Iterator[Dribbling]:
    server = Dribbling(first)
    with closing(server):
        yield server


SPENT = [pytest.param(HEAD + b"x-slow:", id="headers"), pytest.param(HEAD + b"\r\n", id="body")]


@pytest.mark.parametrize("first", SPENT)
def test_a_thread_waits_no_longer_than_its_call_may_take(first):
    """The client falls back while the service has most of its bytes still to say."""
    with (
        dribbling(first) as server,
        Client(server.url, timeout_s=TIMEOUT_S, retries=Retries(most=0)) as client,
    ):
        assert client.decide("s", fallback=["a"]).fell_back
        assert server.finished == 0


@pytest.mark.parametrize("first", SPENT)
async def test_a_task_waits_no_longer_than_its_call_may_take(first):
    """Likewise."""
    with dribbling(first) as server:
        async with AsyncClient(server.url, timeout_s=TIMEOUT_S, retries=Retries(most=0)) as client:
            decision = await client.decide("s", fallback=["a"])
        assert decision.fell_back
        assert server.finished == 0


def test_what_is_left_is_told_again():
    """A number for whoever takes it for one, and less of it later."""
    now = [10.0]
    left = Attempts(Retries(), timeout_s=1.0, clock=lambda: now[0], share=lambda: 0.0).left_s()
    assert left == 1.0
    now[0] = 10.75
    assert (left, left.now()) == (1.0, 0.25)
