"""The short way of a score request: the same answers as on the ordinary one, in order, however bytes come."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from itertools import pairwise

import pytest
from uvicorn import Config, Server
from uvicorn.server import ServerState

from sidecar.contracts.wire import END_OF_HEAD, SCORE_HEAD, SCORED_HEAD
from sidecar.server.app import Answer, read_body
from sidecar.server.direct import Direct, body_of

LIMIT = 100


class Echoing:
    """Answers with the body, and says which way it came."""

    max_body_bytes = LIMIT

    def score(self, body: bytes) -> Answer:
        if body == b"broken":
            raise ZeroDivisionError
        if body == b"scores":
            return Answer(200, b"short " + body, b"application/msgpack")
        return Answer(200, b"short " + body)

    async def __call__(self, scope, receive, send) -> None:
        body = await read_body(receive, LIMIT)
        await asyncio.sleep(0)
        answer = b"too long" if body is None else b"long " + body
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})


def request(body: bytes) -> bytes:
    return b"%b%d%b%b" % (SCORE_HEAD, len(body), END_OF_HEAD, body)


def general(body: bytes) -> bytes:
    return b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def told(parts, answers):
    """What is answered to ``parts``, each heard before the next is sent."""
    heard = 0

    class Hearing(Direct):
        def data_received(self, data):
            nonlocal heard
            super().data_received(data)
            heard += len(data)

    async def talk():
        loop, echoing, found, sent = asyncio.get_running_loop(), Echoing(), [], 0
        config = Config(echoing, lifespan="off", ws="none", log_config=None)
        state = ServerState()
        server = await loop.create_server(lambda: Hearing(echoing, config, state, {}), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for part in parts:
                writer.write(part)
                sent += len(part)
                while heard < sent:  # noqa: ASYNC110 - a connection has no event for it
                    await asyncio.sleep(0)
            for _ in range(answers):
                head = await reader.readuntil(END_OF_HEAD)
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                found.append((int(head[9:12]), (await reader.readexactly(length)).decode()))
            writer.close()
            await writer.wait_closed()
        return found

    return asyncio.run(talk())


def test_what_the_service_sends_is_answered_at_once_and_all_else_as_ever():
    parts = [request(b"1"), general(b"2"), request(b"3"), request(b""), general(b"5")]
    found = [one for part in parts for one in told([part], 1)]
    assert found == [(200, said) for said in ("short 1", "long 2", "short 3", "short ", "long 5")]


def test_one_connection_serves_both_ways_in_order():
    parts = [request(b"1"), general(b"2"), request(b"3"), general(b"4")]
    found = told(parts, 4)
    assert [said[-1] for _, said in found] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("cut", range(1, len(request(b"abc")), 7))
def test_a_request_in_pieces_is_answered_once_and_so_is_the_next(cut):
    whole = request(b"abc")
    found = told([whole[:cut], whole[cut:] + request(b"x"), request(b"y")], 3)
    assert [said.split()[1] for _, said in found] == ["abc", "x", "y"]


def test_two_in_one_piece_are_both_answered():
    assert [said for _, said in told([request(b"a") + request(b"b")], 2)] == ["long a", "long b"]


def test_a_long_body_is_refused_on_the_ordinary_way():
    assert told([request(b"x" * (LIMIT + 1))], 1) == [(200, "too long")]


def test_what_breaks_the_scorer_is_500_and_the_connection_goes_on():
    assert told([request(b"broken"), request(b"x")], 2) == [
        (500, "Internal Server Error"),
        (200, "short x"),
    ]


@pytest.mark.parametrize("length", [b"", b"-3", b"+3", b" 3", b"3 ", b"0x3", b"2", b"4", b"3" * 40])
def test_only_a_plain_length_that_fits_is_taken(length):
    assert body_of(SCORE_HEAD + length + END_OF_HEAD + b"abc", LIMIT) is None
    assert all(body_of(SCORE_HEAD[:end], LIMIT) is None for _, end in pairwise(range(len(SCORE_HEAD))))


async def test_scores_begin_as_the_service_expects_them():
    """Or it would take them by a longer way."""
    heard = []

    class Transport(asyncio.Transport):
        def is_closing(self):
            return False

        def write(self, data):
            heard.append(data)

    config = Config(Echoing(), lifespan="off", ws="none", log_config=None)
    config.load()
    direct = Direct(Echoing(), config, ServerState(), {})
    direct.connection_made(Transport())
    direct.data_received(request(b"scores"))
    assert heard == [SCORED_HEAD + b"12" + END_OF_HEAD + b"short scores"]


async def test_uvicorn_makes_connections_of_it():
    """As the sidecar has it: what uvicorn hands to a connection is uvicorn's own affair."""
    echoing = Echoing()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = Config(echoing, http=partial(Direct, echoing), lifespan="off", ws="none", log_config=None)
        server = Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(request(b"a"))
        assert await asyncio.wait_for(reader.readuntil(b"short a"), 10)
        writer.close()
        server.should_exit = True
        await serving
