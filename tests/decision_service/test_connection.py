"""HTTP as callers may speak it: an answer of one piece is the same as uvicorn's of two."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn

from decision_service.connection import ANSWER, Connection, Cycle
from decision_service.problem import HttpAnswer
from decision_service.responding import respond


async def app(scope, receive, send) -> None:
    """Says what it was asked; closes behind ``/last``."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    told = b"%s %s %s" % (scope["method"].encode(), scope["raw_path"], body)
    closing = scope["path"] == "/last"
    await respond(
        send, HttpAnswer(200, told, media_type="text/plain"), closing=closing, at_once=scope.get(ANSWER)
    )


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with served(app) as port:
        yield port


@asynccontextmanager
async def served(app, http: type[Connection] = Connection) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            app,
            http=http,
            lifespan="off",
            ws="none",
            log_config=None,
            timeout_keep_alive=1,
            proxy_headers=False,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has nothing better to wait for
            await asyncio.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        await serving


async def said(port: int, *pieces: bytes) -> bytes:
    """All that comes until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.02)
    answer = await asyncio.wait_for(reader.read(), 10.0)
    writer.close()
    await writer.wait_closed()
    return answer


def bodies(answer: bytes) -> list[bytes]:
    return [part.rpartition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]


async def test_answers_come_in_the_order_of_the_requests(port: int) -> None:
    """Pipelined; the last one says that it is."""
    ask = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n%d"
    answer = await said(port, b"".join(ask % n for n in range(3)) + b"GET /last HTTP/1.1\r\nhost: x\r\n\r\n")
    assert bodies(answer) == [b"POST /a 0", b"POST /a 1", b"POST /a 2", b"GET /last "]
    assert answer.count(b"connection: close") == 1


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ((b"GET /last HTTP/1.1\r\nhost: x\r\n\r\n",), b"GET /last "),
        ((b"GET /a%2Fb?q=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",), b"GET /a%2Fb "),
        ((b"POST /last HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n", b"ab", b"cd"), b"POST /last abcd"),
        (
            (
                b"POST /last HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
                b"0\r\n\r\n",
            ),
            b"POST /last ab",
        ),
        ((b"GET /last HTTP/1.0\r\n\r\n",), b"GET /last "),
        ((b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",), b"GET /a "),
        ((b"GET /last?q=1&r HTTP/1.1\r\nhost: x\r\n\r\n",), b"GET /last "),
    ],
)
async def test_requests_in_many_forms(port: int, pieces: tuple[bytes, ...], body: bytes) -> None:
    """In pieces, in chunks, of an older version, with another path than a plain one."""
    answer = await said(port, *pieces)
    assert bodies(answer) == [body]
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01 TLS, perhaps", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"]
)
async def test_what_is_no_http_is_a_problem_as_well(port: int, sent: bytes) -> None:
    """And the end of the connection."""
    head, _, body = (await said(port, sent)).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 400 Bad Request"
    assert {b"content-type: application/problem+json", b"connection: close"} <= set(lines)
    assert b"content-length: %d" % len(body) in lines
    assert json.loads(body)["status"] == 400


async def express_app(scope, receive, send) -> None:
    raise AssertionError("no request goes the longer way")


def _express(scope, body, at_once, send) -> bool:
    return at_once(200, [(b"content-length", b"2")], b"ok")


express_app.express = _express


@pytest.mark.parametrize("serving", [app, express_app], ids=["by a task", "at once"])
async def test_a_request_leaves_no_ring_of_garbage(serving) -> None:
    """Or the search for them would take a share of the service's time, all at once."""
    asking = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1"
    async with served(serving) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        gc.collect()
        gc.disable()
        try:
            for _ in range(50):
                writer.write(asking)
                await reader.readuntil(b"\r\n\r\n")
            left = sum(isinstance(one, Cycle) for one in gc.get_objects())
        finally:
            gc.enable()
        writer.close()
        await writer.wait_closed()
    assert left <= 2


@pytest.mark.parametrize("late", [False, True], ids=["answered", "on its way"])
async def test_a_caller_who_hangs_up_leaves_no_ring_of_garbage(late: bool) -> None:
    """Each would hold its last answer, and whoever was decided with it, until the next search for rings."""
    asked: asyncio.Queue[Callable[..., bool]] = asyncio.Queue()
    lost: asyncio.Queue[None] = asyncio.Queue()

    async def serving(scope, receive, send) -> None:
        raise AssertionError("never called")

    def express(scope, body, at_once, send) -> bool:
        asked.put_nowait(at_once)
        return True

    class Telling(Connection):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.put_nowait(None)

    serving.express = express
    async with served(serving, Telling) as port:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1")
                answer = await asked.get()
                if not late:
                    answer(200, [(b"content-length", b"2")], b"ok")
                    await reader.readuntil(b"ok")
                writer.close()
                await lost.get()
                if late:
                    answer(200, [(b"content-length", b"2")], b"ok")
                del answer, reader, writer
            left = sum(isinstance(one, (Connection, Cycle)) for one in gc.get_objects())
        finally:
            gc.enable()
    assert left <= 4


async def test_a_head_has_no_body(port: int) -> None:
    """But its length."""
    answer = await said(port, b"HEAD /last HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"content-length: 11" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_who_waits_for_leave_to_send_is_given_it(port: int) -> None:
    """Expect: 100-continue."""
    head = b"POST /last HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    answer = await said(port, head, b"ab")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
    assert bodies(answer) == [b"POST /last ab"]


async def test_who_idles_is_hung_up_on(port: int) -> None:
    """After the time that uvicorn would give; `said` ends only when the server does."""
    assert bodies(await said(port, b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n")) == [b"GET /a "]
