"""Conversations with the real store: all replies in order, errors among them, none for the wrong caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from hiredis import pack_command
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as StoreTimeoutError

from sidecar.contracts.line import Said
from sidecar.contracts.lines import Command, Lines
from sidecar.contracts.store import connect_async


@asynccontextmanager
async def lines_to(store_url: str, timeout_s: float) -> AsyncIterator[Lines]:
    client = connect_async(store_url, timeout_s=timeout_s, max_connections=2)
    try:
        yield Lines(client.connection_pool)
    finally:
        await asyncio.wait_for(client.aclose(), 60.0)


@pytest.fixture
async def lines(store_url: str) -> AsyncIterator[Lines]:
    async with lines_to(store_url, 60.0) as found:
        yield found


async def test_replies_come_in_order_with_errors_among_them(lines: Lines) -> None:
    """An error is the reply to its command, with the class that the library has for it."""
    said = await lines.talk(
        [("SET", "a", b"\r\n1"), ("GET", "a"), ("NOPE",), ("EVALSHA", "0" * 40, 0), ("GET", "b")]
    )
    assert (said[0], said[1], said[4]) == (b"OK", b"\r\n1", None)
    assert isinstance(said[2], ResponseError)
    assert isinstance(said[3], NoScriptError)


async def test_a_long_reply_comes_whole(lines: Lines) -> None:
    """In many pieces, and the next one behind it."""
    long = b"x" * 3_000_000
    assert await lines.talk([("SET", "long", long), ("GET", "long"), ("PING",)]) == [b"OK", long, b"PONG"]


async def test_a_line_that_was_closed_is_replaced_unseen(lines: Lines, store: redis.Redis) -> None:
    """As by a store that starts again."""
    assert await lines.talk([("PING",)]) == [b"PONG"]
    store.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await lines.talk([("PING",)]) == [b"PONG"]


async def test_what_comes_too_late_is_nobodys_reply(store: redis.Redis, store_url: str) -> None:
    """The next conversation is on another line."""
    async with lines_to(store_url, 0.5) as lines:
        with pytest.raises(StoreTimeoutError, match=r"0\.5 s"):
            await lines.talk([("BLPOP", "nothing", 60)])
        store.rpush("nothing", "late")
        assert await lines.talk([("PING",)]) == [b"PONG"]


async def test_a_caller_who_leaves_takes_the_line_along(lines: Lines, store: redis.Redis) -> None:
    """Its reply may still come, and belongs to nobody."""
    asked = asyncio.create_task(lines.talk([("BLPOP", "nothing", 60)]))
    await asyncio.sleep(0.05)
    asked.cancel()
    await asyncio.wait([asked])
    store.rpush("nothing", "late")
    talks = [lines.talk([("ECHO", str(number))]) for number in range(2)]
    assert await asyncio.gather(*talks) == [[b"0"], [b"1"]]


async def test_who_says_nothing_is_answered_at_once(lines: Lines) -> None:
    """No reply will come to no command."""
    assert await lines.talk([]) == []


async def told(lines: Lines, commands: Sequence[Command]) -> Said:
    """What one who does not wait is told."""
    heard: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
    lines.ask(commands, heard.set_result)
    return await heard


async def test_who_does_not_wait_is_told_the_same(lines: Lines, store: redis.Redis) -> None:
    """On the first line, on one that idles, and on one that was closed meanwhile."""
    for _ in range(2):
        said = await told(lines, [("ECHO", "a"), ("NOPE",)])
        assert isinstance(said, list)
        assert said[0] == b"a"
        assert isinstance(said[1], ResponseError)
    store.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await told(lines, [("PING",)]) == [b"PONG"]


async def test_who_is_told_may_ask_at_once(lines: Lines) -> None:
    """On the very line that it was told over."""
    await told(lines, [("PING",)])
    heard: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
    lines.ask([("ECHO", "a")], lambda _: lines.ask([("ECHO", "b")], heard.set_result))
    assert await heard == [b"b"]


async def test_who_is_told_that_it_is_too_late_hears_nothing_more(store: redis.Redis, store_url: str) -> None:
    """The next conversation is on another line."""
    async with lines_to(store_url, 0.5) as lines:
        await told(lines, [("PING",)])
        began_s = asyncio.get_running_loop().time()
        said = await told(lines, [("BLPOP", "nothing", 60)])
        assert isinstance(said, StoreTimeoutError)
        assert asyncio.get_running_loop().time() - began_s >= 0.499  # and not the time of the one before
        store.rpush("nothing", "late")
        assert await told(lines, [("PING",)]) == [b"PONG"]


async def test_who_is_told_hears_that_there_is_no_store(tmp_path: Path) -> None:
    """Once; neither it nor anybody else waits."""
    async with lines_to(f"unix://{tmp_path}/s", 0.5) as lines:
        assert isinstance(await told(lines, [("PING",)]), redis.ConnectionError)


async def test_who_waits_for_what_is_cancelled_is_told_so(lines: Lines) -> None:
    """As when the loop ends."""
    heard: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
    before = asyncio.all_tasks()
    lines.ask([("BLPOP", "nothing", 60)], heard.set_result)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    assert isinstance(await heard, asyncio.CancelledError)


async def test_a_reply_too_many_is_not_the_next_ones(lines: Lines) -> None:
    """Whose it would be nobody knows: the line is not used again."""
    packed = b"".join([pack_command(("ECHO", text)) for text in ("1", "2")])
    assert await lines._exchange(await lines._open(), packed, 1) == [b"1"]
    assert await lines.talk([("ECHO", "3")]) == [b"3"]


async def test_each_exchange_has_its_own_time(lines: Lines) -> None:
    """However long the one before it could have taken, or whether it could have for ever."""
    line, wait = await lines._open(), pack_command(("BLPOP", "nothing", 60))
    for timeout_s in (60.0, None):
        assert await line.exchange(pack_command(("PING",)), 1, timeout_s) == [b"PONG"]
    with pytest.raises(StoreTimeoutError, match=r"0\.01 s"):
        await line.exchange(wait, 1, 0.01)
    await lines._drop(line)


async def test_what_cannot_be_packed_takes_no_line_along(lines: Lines) -> None:
    """There are two, and then none."""
    await lines.talk([("PING",)])
    for _ in range(3):
        with pytest.raises(UnicodeEncodeError):
            lines.ask([("ECHO", "\ud800")], print)
    assert await lines.talk([("PING",)]) == [b"PONG"]
