"""HTTP as a source, against real sockets: what is sent, what becomes of every kind of answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypedDict

import pytest
from msgspec import Struct

from decision_service.sources.errors import (
    BadAnswer,
    BadKey,
    BadSource,
    RowMissing,
    SourceAway,
    SourceRefused,
)
from decision_service.sources.http import open_http
from feature_graph import Graph, KeyMissing, TransientError, fetch


class Profile(Struct):
    segment: str
    orders: int = 0


class Served:
    """What a server was asked, and where it is."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[str] = []
        self.connections = 0

    @property
    def header(self) -> dict[str, str]:
        lines = self.requests[-1].partition("\r\n\r\n")[0].split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


@asynccontextmanager
async def serving(answer: Callable[[str], bytes | None]) -> AsyncIterator[Served]:
    """A server that answers each request with whatever bytes ``answer`` makes of it; None: never."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        served.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (li for li in head.split(b"\r\n") if li.lower().startswith(b"content-length")), b""
                )
                body = await reader.readexactly(int(length.partition(b":")[2] or 0))
                served.requests.append((head + body).decode())
                data = answer(served.requests[-1])
                if data is None:
                    await asyncio.Event().wait()
                writer.write(data or b"")
                if not data:
                    break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    served = Served(server.sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    more = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


def always(data: bytes | None) -> Callable[[str], bytes | None]:
    return lambda request: data


GOOD = http(200, b'{"segment": "new", "orders": 3, "more": null}')


async def test_an_answer_is_of_the_type_that_was_asked_for():
    """Unknown fields are left out, defaults filled in; connections are kept."""
    async with serving(always(GOOD)) as served, open_http(served.url) as service:
        assert await service.get("/p", Profile) == Profile("new", 3)
        assert await service.get("/p", dict) == {"segment": "new", "orders": 3, "more": None}
    assert served.connections == 1


async def test_values_in_a_path_are_quoted_and_a_query_is_one():
    """What a client chose as its id cannot reach another path."""
    async with serving(always(GOOD)) as served, open_http(served.url + "/api/") as service:
        await service.get("/customers/{id}/x", Profile, query={"q": "a&b=c"}, id="../admin?x#y z/é")
    assert served.requests[0].startswith(
        "GET /api/customers/..%2Fadmin%3Fx%23y%20z%2F%C3%A9/x?q=a%26b%3Dc HTTP/1.1\r\n"
    )


@pytest.mark.parametrize("value", ["", ".", "..", "x" * 2000, "\ud800", True, 1.5, None, b"x"])
async def test_a_value_that_cannot_be_part_of_a_path_is_refused(value):
    """Before anything is sent."""
    async with serving(always(GOOD)) as served, open_http(served.url) as service:
        with pytest.raises(BadKey):
            await service.get("/customers/{id}", Profile, id=value)
    assert served.requests == []


@pytest.mark.parametrize("path", ["p", "//evil.example/p", "/a?b=c", "/a#b", "/a/../b", "", "/{id}", "/{}"])
async def test_a_path_that_leads_elsewhere_or_fits_no_values_is_refused(path):
    """A mistake in the code, found at the first call."""
    async with open_http("http://127.0.0.1:9") as service:
        with pytest.raises(BadSource, match="path"):
            await service.get(path, Profile)


async def test_a_body_is_sent_as_json():
    """With its type."""
    async with serving(always(GOOD)) as served, open_http(served.url) as service:
        await service.post("/score", Profile("a", 1), Profile)
    assert served.header["content-type"] == "application/json"
    assert served.requests[0].endswith('\r\n\r\n{"segment":"a","orders":1}')


class Given(TypedDict):
    service: object


async def test_the_time_left_is_handed_down():
    """The smaller of the service's own timeout and what the fetch has left; the run's own outside of any."""

    async def profile(service) -> Profile:
        return await service.get("/p", Profile)

    graph = Graph(Given, fetch(timeout=50.0)(profile))
    async with serving(always(GOOD)) as served, open_http(served.url, timeout_s=200.0) as service:
        await service.get("/p", Profile)
        assert served.header["x-deadline-ms"] == "200000"
        await graph.resolve("profile", given={"service": service}, deadline=900.0)
        assert 30_000 < int(served.header["x-deadline-ms"]) <= 50_000
        await graph.resolve("profile", given={"service": service}, deadline=30.0)
        assert 10_000 < int(served.header["x-deadline-ms"]) <= 30_000


async def test_headers_are_asked_for_at_every_request():
    """How a trace's context or a key comes along; ours win over them where they clash."""
    count = iter(range(9))
    headers = lambda: {"traceparent": f"00-{next(count)}", "x-deadline-ms": "9"}  # noqa: E731
    async with serving(always(GOOD)) as served, open_http(served.url, headers=headers) as service:
        await service.get("/p", Profile)
        await service.get("/p", Profile)
    assert served.header["traceparent"] == "00-1"
    assert served.header["x-deadline-ms"] == "1000"


@pytest.mark.parametrize("status", [404, 410])
async def test_what_is_not_there_is_a_missing_key(status):
    """So that a fallback or a default stands in, and no retry is made."""
    async with serving(always(http(status))) as served, open_http(served.url) as service:
        with pytest.raises(RowMissing) as caught:
            await service.get("/p/{id}", Profile, id="ann")
    assert isinstance(caught.value, KeyMissing)
    assert not isinstance(caught.value, TransientError)
    assert "GET /p/{id}: 404" in str(caught.value).replace("410", "404")
    assert "ann" not in str(caught.value), "whose key it was is nobody's business"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_help_again_is_transient(status):
    """A retry is the fetch's to make; the connection is kept for it."""
    async with serving(always(http(status, b"busy"))) as served, open_http(served.url) as service:
        for _ in range(2):
            with pytest.raises(SourceAway, match=str(status)) as caught:
                await service.get("/p", Profile)
            assert isinstance(caught.value, TransientError)
    assert served.connections == 1


@pytest.mark.parametrize("status", [400, 401, 403, 405, 409, 422, 501, 505])
async def test_what_will_never_help_is_refused(status):
    """And so never retried."""
    async with serving(always(http(status))) as served, open_http(served.url) as service:
        with pytest.raises(SourceRefused, match=str(status)) as caught:
            await service.get("/p", Profile)
    assert not isinstance(caught.value, TransientError)


async def test_a_redirect_is_not_followed():
    """It could lead to any address that this machine can reach."""
    async with serving(always(GOOD)) as inner, open_http(inner.url) as _:
        moved = http(302, b"", f"location: {inner.url}/secret")
        async with serving(always(moved)) as served, open_http(served.url) as service:
            with pytest.raises(BadAnswer, match="redirect"):
                await service.get("/p", Profile)
    assert inner.requests == []


async def test_no_cookie_is_kept():
    """One customer's session must not travel with the next one's request."""
    answer = http(200, b'{"segment": "x"}', "set-cookie: session=ann; Path=/")
    async with serving(always(answer)) as served, open_http(served.url) as service:
        await service.get("/p", Profile)
        await service.get("/p", Profile)
    assert "cookie" not in served.header


async def test_no_proxy_is_taken_from_the_environment(monkeypatch):
    """Calls between services are nobody else's."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with serving(always(GOOD)) as served, open_http(served.url) as service:
        assert await service.get("/p", Profile) == Profile("new", 3)


@pytest.mark.parametrize(
    "body", [b"", b"no json", b'{"segment": 1}', b"[]", b'{"segment": "\xff"}', b'{"orders": 1}', b"nan"]
)
async def test_an_answer_that_is_not_of_the_type_is_one_error(body):
    """It names the call and what was expected; nothing of it reaches a model."""
    async with serving(always(http(200, body))) as served, open_http(served.url) as service:
        with pytest.raises(BadAnswer, match=r"127.0.0.1: GET /p: the answer is no"):
            await service.get("/p", Profile)


async def test_an_answer_that_is_too_long_is_not_read():
    """Whether it says so or not."""
    long = b'{"segment": "' + b"x" * 5000 + b'"}'
    chunked = b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n"
    for answer in (http(200, long), chunked + b"400\r\n" + b"x" * 1024 + b"\r\n"):
        async with serving(always(answer)) as served, open_http(served.url, max_bytes=1500) as service:
            with pytest.raises(BadAnswer, match="1500"):
                await service.get("/p", Profile)


async def test_a_compressed_answer_is_refused():
    """A kilobyte can unpack into a gigabyte."""
    answer = http(200, b"\x1f\x8b", "content-encoding: gzip")
    async with serving(always(answer)) as served, open_http(served.url) as service:
        with pytest.raises(BadAnswer, match="compressed"):
            await service.get("/p", Profile)
    assert served.header["accept-encoding"] == "identity"


async def test_an_empty_answer_is_null():
    """204 has no body."""
    async with serving(always(b"HTTP/1.1 204 x\r\n\r\n")) as served, open_http(served.url) as service:
        assert await service.get("/p", type(None)) is None


@pytest.mark.parametrize("answer", [b"", b"rubbish\r\n\r\n", b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nx"])
async def test_a_connection_that_breaks_is_transient(answer):
    """Closed before an answer, within one, or not HTTP at all."""
    once = iter([answer, b""])
    async with (
        serving(lambda request: next(once, b"")) as served,
        open_http(served.url, timeout_s=0.3) as service,
    ):
        with pytest.raises(SourceAway) as caught:
            await service.get("/p", Profile)
    assert isinstance(caught.value, TransientError)


async def test_a_service_that_is_down_is_transient():
    """Nobody listens there, and nobody else can come to."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        async with open_http(f"http://127.0.0.1:{kept.getsockname()[1]}") as service:
            with pytest.raises(SourceAway, match="ConnectError"):
                await service.get("/p", Profile)


async def test_a_service_that_never_answers_is_transient_after_its_own_timeout():
    """A run with more time may try again."""
    async with serving(always(None)) as served, open_http(served.url, timeout_s=0.05) as service:
        with pytest.raises(SourceAway, match=r"no answer within 0\.05 s"):
            await service.get("/p", Profile)


async def test_cancelled_requests_give_their_connections_back():
    """Hedges that lost and runs whose caller went away, waiting for a connection, connecting, or later."""
    hangs = True
    async with (
        serving(lambda request: None if hangs else GOOD) as served,
        open_http(served.url, max_connections=2, timeout_s=5.0) as service,
    ):
        for turns in range(30):
            tasks = [asyncio.create_task(service.get("/p", Profile)) for _ in range(6)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(end) for end in ends} == {asyncio.CancelledError}
        hangs = False
        answers = await asyncio.gather(*(service.get("/p", Profile) for _ in range(6)))
        assert answers == [Profile("new", 3)] * 6


@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm",
        "ftp://crm",
        "http://",
        "http://a/?b=c",
        "http://a/#b",
        "http://me:secret@crm/",
        "http://a:x/",
        7,
    ],
)
async def test_an_address_that_is_none_is_refused_at_the_start(url):
    """With what would be legal; and no password is repeated."""
    with pytest.raises(BadSource) as caught:
        async with open_http(url):
            pass
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"timeout_s": 0}, {"timeout_s": float("nan")}, {"max_connections": 0}, {"max_bytes": 0}]
)
async def test_limits_that_are_none_are_refused_at_the_start(options):
    """Above 0, all of them."""
    with pytest.raises(BadSource, match="above 0"):
        async with open_http("http://crm", **options):
            pass


async def test_http2_says_what_it_needs():
    """It is not the default, and its package is no dependency."""
    with pytest.raises(BadSource, match="h2"):
        async with open_http("https://crm", http2=True):
            pass
