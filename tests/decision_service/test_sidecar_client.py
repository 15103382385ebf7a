"""The hop: whatever the other side does, there are scores or there is one kind of error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from decision_service.breaker import Guard
from decision_service.errors import SidecarFailed, SidecarRefused
from decision_service.scoring import Scorer
from decision_service.sidecar_client import SidecarClient
from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.wire import SCORED_HEAD, ScoredRow, ScoreResponse, ScoreRow, decode_request, encode

CATALOGUE = catalogue_of((Arm("a"), Arm("b")))
ROW = ScoreRow({"hour": 1.0})
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def peer(tmp_path: Path, serve: Serve, timeout_s: float = 60.0) -> AsyncIterator[SidecarClient]:
    """A client, and on the other side of its socket whatever ``serve`` does."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    path = tmp_path / "s.sock"
    server = await asyncio.start_unix_server(guarded, str(path))
    client = SidecarClient(path, timeout_s)
    try:
        yield client
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return await reader.readexactly(length)


def http(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


def scores(rows: int) -> bytes:
    return encode(ScoreResponse(tuple(ScoredRow(b"\0" * 8, b"\0" * 16) for _ in range(rows)), 7, False))


async def ask(client: SidecarClient, rows: int = 1):
    return await client.score([ROW] * rows, (Exploration(),), CATALOGUE)


async def test_the_table_of_arms_is_sent_only_when_it_is_asked_for(tmp_path):
    """409 once, the same question with the table, and never again."""
    tables = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = decode_request(await read_request(reader))
            tables.append(len(request.arms))
            known = any(tables)
            writer.write(http(scores(len(request.rows))) if known else http(b"", 409))

    async with peer(tmp_path, serve) as client:
        first = await ask(client)
        second = await ask(client, rows=3)

    assert tables == [0, 2, 0]
    assert [len(first), len(second)] == [1, 3]
    assert first[0].model_version == 7


async def test_an_answer_in_pieces_is_put_together(tmp_path):
    """Bytes come as they come."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for byte in http(scores(1)):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with peer(tmp_path, serve) as client:
        assert (await ask(client))[0].scores == b"\0" * 8


@pytest.mark.parametrize("head", [SCORED_HEAD, SCORED_HEAD.replace(b"content", b"Content"), SCORED_HEAD[:-1]])
@pytest.mark.parametrize("cut", [1, len(SCORED_HEAD), len(SCORED_HEAD) + 4, 150])
async def test_answers_come_whole_and_in_two(tmp_path, head, cut):
    """As the sidecar writes them, and not quite so; by turns on one connection."""
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append(len(decode_request(await read_request(reader)).rows))
            body = scores(asked[-1])
            whole = head + b"%d\r\n\r\n%b" % (len(body), body)
            at = cut if len(asked) % 2 else len(whole)
            writer.write(whole[:at])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(whole[at:])

    async with peer(tmp_path, serve) as client:
        assert [len(await ask(client, rows)) for rows in (5, 6, 7, 8)] == [5, 6, 7, 8]


async def test_a_connection_that_was_closed_while_idle_is_replaced(tmp_path):
    """Keep-alive ends some day; nobody notices."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http(scores(1)))

    async with peer(tmp_path, serve) as client:
        for _ in range(3):
            assert len(await ask(client)) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"rubbish without an end",
        b"rubbish\r\n\r\n",
        b"x" * 40_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + scores(1),
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + scores(1),
        http(b"", 500),
        http(b"no", 422),
        http(b"", 409),
        http(b""),
        http(b"\xc1\xff"),
        http(scores(2)),
        http(scores(0)),
    ],
)
async def test_whatever_is_no_answer_is_a_failure_in_time(tmp_path, reply):
    """Hang-ups, rubbish, cut answers, refusals, rows too many or too few."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply)
        await writer.drain()

    async with peer(tmp_path, serve) as client:
        with pytest.raises(SidecarFailed):
            await ask(client)


async def test_silence_is_a_failure_in_time_and_its_answer_is_nobodys(tmp_path):
    """A late answer never reaches the next question: its connection is dropped."""
    calls = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        calls.append(1)
        if len(calls) == 1:
            await reader.read()  # until the client hangs up
        else:
            writer.write(http(scores(2)))

    async with peer(tmp_path, serve, timeout_s=0.5) as client:
        with pytest.raises(SidecarFailed, match=r"no answer within 0.5 s"):
            await ask(client)
        assert len(await ask(client, rows=2)) == 2


async def test_nobody_there_is_a_failure(tmp_path):
    """No socket at all."""
    with pytest.raises(SidecarFailed):
        await ask(SidecarClient(tmp_path / "none.sock", timeout_s=0.5))


async def test_a_row_that_nobody_can_score_fails_alone(tmp_path):
    """Of what was asked together; nor is the sidecar left alone over it."""
    asked, guard = [], Guard("sidecar", None, asyncio.get_running_loop().time, lambda *_: None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            rows = decode_request(await read_request(reader)).rows
            asked.append(len(rows))
            bad = any(row.context["hour"] == 5.0 for row in rows)
            writer.write(http(b"no", 422) if bad else http(scores(len(rows))))

    async with peer(tmp_path, serve) as client:
        scorer = Scorer(client, Exploration(), timeout_s=60.0, max_batch=64, connections=2, guard=guard)
        told = await scorer.score_all([ScoreRow({"hour": float(n)}) for n in range(32)], CATALOGUE, 60.0)

    assert [n for n, one in enumerate(told) if isinstance(one, SidecarFailed)] == [5]
    assert asked == [32, 16, 8, 4, 4, 2, 1, 1, 2, 8, 16]
    assert guard.closed


async def test_a_sidecar_that_refuses_everything_is_left_alone(tmp_path):
    guard = Guard("sidecar", None, asyncio.get_running_loop().time, lambda *_: None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(http(b"no", 422))

    async with peer(tmp_path, serve) as client:
        scorer = Scorer(client, Exploration(), timeout_s=60.0, max_batch=64, connections=2, guard=guard)
        told = await scorer.score_all([ROW] * 32, CATALOGUE, 60.0)

    assert {type(one) for one in told} == {SidecarRefused}
    assert not guard.closed


@asynccontextmanager
async def slow(
    tmp_path: Path, timeout_s: float = 60.0
) -> AsyncIterator[tuple[Scorer, list[int], asyncio.Semaphore]]:
    """A scorer, the sizes of the calls that came, and what lets one of them be answered."""
    asked, answers = [], asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append(len(decode_request(await read_request(reader)).rows))
            rows = asked[-1]
            await answers.acquire()
            writer.write(http(scores(rows)))

    guard = Guard("sidecar", None, asyncio.get_running_loop().time, lambda *_: None)
    async with peer(tmp_path, serve) as client:
        yield (
            Scorer(client, Exploration(), timeout_s=timeout_s, max_batch=64, connections=1, guard=guard),
            asked,
            answers,
        )


async def heard(asked: list[int], calls: int) -> None:
    """So many have come."""
    async with asyncio.timeout(10):
        while len(asked) < calls:  # noqa: ASYNC110 - the other side of a socket has no event
            await asyncio.sleep(0)


def ask_all(scorer: Scorer, rows: int, left_s: float = 60.0, **how: bool) -> asyncio.Task[object]:
    return asyncio.ensure_future(scorer.score_all([ROW] * rows, CATALOGUE, left_s, **how))


async def test_who_comes_while_a_call_is_away_shares_the_next_one(tmp_path):
    """The first goes at once."""
    async with slow(tmp_path) as (scorer, asked, answers):
        told = [ask_all(scorer, rows) for rows in (5, 6, 7)]
        await heard(asked, 1)
        told.append(ask_all(scorer, 8))
        for calls in (1, 2):
            await heard(asked, calls)
            answers.release()
        assert [len(one) for one in await asyncio.gather(*told)] == [5, 6, 7, 8]
        last = ask_all(scorer, 9)
        answers.release()
        assert len(await last) == 9
    assert asked == [5, 21, 9]


async def test_a_few_wait_for_nobody(tmp_path):
    """Four rows, whoever asks for them."""
    async with slow(tmp_path) as (scorer, asked, answers):
        told = [ask_all(scorer, 2), ask_all(scorer, 2)]
        await heard(asked, 2)
        answers.release()
        answers.release()
        await asyncio.gather(*told)
    assert asked == [2, 2]


async def test_those_that_are_gathered_are_one_call(tmp_path):
    async with slow(tmp_path) as (scorer, asked, answers):
        told = [ask_all(scorer, 1, gathered=True) for _ in range(6)]
        answers.release()
        await asyncio.gather(*told)
    assert asked == [6]


async def test_who_has_little_time_gives_a_slow_sidecar_no_more_to_do(tmp_path):
    """It is not blamed for being late: nothing but the call that is away keeps the next ones from it."""
    async with slow(tmp_path) as (scorer, asked, answers):
        for _ in range(4):
            late = await scorer.score_all([ROW] * 5, CATALOGUE, 0.02)
            assert {type(one) for one in late} == {TimeoutError}
        await heard(asked, 1)
        assert asked == [5]
        answers.release()


async def test_a_call_that_nobody_waits_for_any_more_holds_up_nobody(tmp_path):
    """Its caller hears that it was too slow; who waited behind it goes, and hears their own answer."""
    async with slow(tmp_path, timeout_s=3.0) as (scorer, asked, answers):
        late = ask_all(scorer, 5, left_s=1.5)
        await heard(asked, 1)
        behind = ask_all(scorer, 6)
        assert {type(one) for one in await late} == {TimeoutError}
        await heard(asked, 2)
        answers.release()
        answers.release()
        assert len(await behind) == 6
    assert asked == [5, 6]
