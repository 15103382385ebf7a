"""A head that is known again tells what it would tell if it were read."""

from __future__ import annotations

import asyncio
import random

import pytest

from decision_service.connection import Connection
from decision_service.same_head import known_head
from tests.decision_service.test_connection import served

HEAD = b"POST /a?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nX-More: 7\r\n\r\n"


class Unknowing(Connection):
    """Reads everything."""

    _lessons = 0


class Counting(Connection):
    """Notes of what it knew again whether it was answered at once."""

    known: list[bool]

    def _take_known(self, head, data) -> bool:
        taken = super()._take_known(head, data)
        if head.again(data) is not None:
            self.known.append(taken)
        return taken


def asking(body: bytes, head: bytes = HEAD) -> bytes:
    return head % len(body) + body


def scope_of(*headers: tuple[bytes, bytes]) -> dict[str, object]:
    return {"method": "POST", "headers": [(b"host", b"x"), *headers]}


def test_another_length_is_told_as_it_is():
    """And the head that was read first stays what it was."""
    scope = scope_of((b"content-length", b"2"), (b"x-more", b"7"))
    head = known_head(asking(b"ab"), scope)
    assert head is not None
    longer = scope_of((b"content-length", b"10"), (b"x-more", b"7"))
    assert head.again(asking(b"0123456789")) == (longer, b"0123456789")
    assert head.scope == scope_of((b"content-length", b"2"), (b"x-more", b"7"))
    assert head.again(asking(b"")) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        asking(b"ab")[:-1],
        asking(b"ab") + b"c",
        asking(b"ab") * 2,
        asking(b"ab").replace(b"/a", b"/b"),
        asking(b"ab").replace(b"7", b"8"),
        asking(b"ab").replace(b"Length: 2", b"Length: +2"),
        asking(b"ab").replace(b"Length: 2", b"Length:  2"),
        asking(b"ab").replace(b"Length: 2", b"Length: "),
        asking(b"ab").replace(b"Length: 2", b"Length: 2_0"),
        asking(b"ab").replace(b"Length: 2", b"Length: 000002"),
        asking(b"ab").replace(b"X-More", b"Transfer-Encoding: chunked\r\nX-More"),
        asking(b"x" * 100_000),
    ],
)
def test_whatever_is_another_head_or_not_whole_is_read(data):
    """Cut, two at once, another path, another value, a length that is no plain number."""
    head = known_head(asking(b"ab"), scope_of((b"content-length", b"2"), (b"x-more", b"7")))
    assert head is not None
    assert head.again(data) is None


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n", ()),
        (asking(b"ab")[:-1], ((b"content-length", b"2"),)),
        (asking(b"ab") * 2, ((b"content-length", b"2"),)),
        (asking(b"ab"), ((b"content-length", b"2"), (b"content-length", b"2"))),
        (asking(b"ab"), ((b"content-length", b"2"), (b"transfer-encoding", b"chunked"))),
        (asking(b"x" * 100_000), ((b"content-length", b"100000"),)),
        (asking(b"ab", HEAD.replace(b"7", b"7" * 5_000)), ((b"content-length", b"2"),)),
    ],
)
def test_whatever_has_no_plain_length_is_not_kept(data, headers):
    """Or is cut, several at once, or very long."""
    assert known_head(data, scope_of(*headers)) is None


async def test_the_application_is_told_the_same_as_by_who_reads_everything():
    """Bodies of many lengths, several heads in turn, in pieces, two at once, and what goes the longer way."""
    rng = random.Random(5)
    others = HEAD.replace(b"7", b"8"), HEAD.replace(b"/a", b"/b"), HEAD.replace(b"X-More: 7\r\n", b"")
    heads = rng.choices((HEAD, *others), (9, 1, 1, 1), k=120)
    sent = [asking(b"%d" % n * rng.choice((0, 1, 7, 60)), head) for n, head in enumerate(heads)]
    sent += [b"GET /g HTTP/1.1\r\nhost: x\r\n\r\n", sent[0] + sent[1], sent[0] + b"\r\n", sent[0], sent[2]]
    Counting.known = []
    told = [await told_of(http, sent) for http in (Counting, Unknowing)]
    assert told[0] == told[1]
    assert {one[0] for one in told[0]} == {"at once", "by a task"}
    assert Counting.known.count(True) > 20
    assert Counting.known.count(False) > 5


async def told_of(http: type[Connection], sent: list[bytes]) -> list[tuple[object, ...]]:
    """What an application is told of what one caller sends, piece by piece."""
    told: list[tuple[object, ...]] = []

    def seen(how: str, scope, body: bytes) -> None:
        said = {name: value for name, value in scope.items() if name not in ("client", "server", "state")}
        told.append((how, {name: said[name] for name in sorted(said) if "." not in name}, body))

    async def app(scope, receive, send) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        seen("by a task", scope, body + message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def express(scope, body, at_once, send) -> bool:
        if scope["path"] == "/b" or body.startswith(b"1"):
            return False
        seen("at once", scope, body)
        return at_once(200, [(b"content-length", b"2")], b"ok")

    app.express = express  # type: ignore[attr-defined]  # as a door has it
    async with served(app, http) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number, data in enumerate(sent):
            at = number % len(data) if number % 5 == 0 else len(data)
            for piece in (data[:at], data[at:]):
                writer.write(piece)
                await asyncio.sleep(0)
            for _ in range(data.count(b"HTTP/1.1\r\n")):
                await reader.readuntil(b"ok")
        writer.close()
        await writer.wait_closed()
    return told


@pytest.mark.parametrize("times", [0, 1])
async def test_what_fails_at_once_is_answered_whether_or_not_its_head_is_known(times: int):
    """Nobody is hung up on without a word."""

    async def app(scope, receive, send) -> None:
        raise AssertionError

    def express(scope, body, at_once, send) -> bool:
        if body == b"boom":
            raise ValueError(body)
        return at_once(200, [(b"content-length", b"2")], b"ok")

    app.express = express  # type: ignore[attr-defined]  # as a door has it
    async with served(app, Connection) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(times):
            writer.write(asking(b"hi"))
            await reader.readuntil(b"ok")
        writer.write(asking(b"boom"))
        said = await reader.read()
        writer.close()
    assert said.startswith(b"HTTP/1.1 400"), said
