"""Requests on a stream: the same decisions as behind HTTP, answered only where answers may be."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace

import pytest
import redis

from decision_service import stream_entries, stream_front
from decision_service.stream_front import StreamFront
from sidecar.contracts import keys
from sidecar.contracts.store import connect_reader_async
from tests.decision_service.platform import platform
from tests.waiting import until

REQUESTS, REPLY = keys.requests("bench"), keys.reply("bench", "mine")
ACL = {
    "front": "~{bench}:requests %W~{bench}:reply:* +xgroup|create +xreadgroup +xautoclaim +xack +xdel +xadd"
    " +xtrim +pexpire +ping",
    "caller": "%W~{bench}:requests %R~{bench}:reply:* +xadd +xread +ping",
}
"""As ``docs/models.md`` has it."""


@pytest.fixture(scope="module")
def shop():
    """The service's stream has a user of its own; the one who asks has another."""
    with platform(environ={"SIDEARM_DECISION_SERVICE_STREAM_FRONT": "true"}) as started:
        for user, rules in ACL.items():
            started.store.execute_command("ACL", "SETUSER", user, "reset", "on", f">{user}", *rules.split())
        started.service.stop()
        started.client.close()
        path = started.store_server.url.removeprefix("unix://")
        started.environ["SIDEARM_DECISION_SERVICE_STREAM_URL"] = f"unix://front:front@{path}"
        started.start_service()
        yield started


@pytest.fixture
def caller(shop):
    path = shop.store_server.url.removeprefix("unix://")
    with redis.Redis(unix_socket_path=path, username="caller", password="caller") as client:
        yield client


def ask(caller, reply="mine", asked_id="1", entry_id="*", **request):
    body = json.dumps({"session_id": "s-1", **request})
    return caller.xadd(REQUESTS, {"request": body, "reply": reply, "id": asked_id}, id=entry_id)


def answers(shop, name="mine"):
    found = shop.store.xrange(keys.reply("bench", name))
    return {one[b"id"]: (int(one[b"status"]), json.loads(one[b"body"])) for _, one in found}


@pytest.fixture(autouse=True)
def clean(shop):
    yield
    for key in shop.store.scan_iter("{bench}:reply:*"):
        shop.store.delete(key)


def test_a_request_is_decided_logged_and_answered_on_the_stream_that_it_names(shop, caller):
    ask(caller, context={"device": "ios"}, asked_id="order-7")
    until(lambda: answers(shop))
    status, answer = answers(shop)[b"order-7"]
    assert (status, answer["source"], answer["logged"]) == (201, "model", True)
    assert shop.decision(answer["decision_id"])["arm"] == answer["arm"]
    until(lambda: shop.store.xlen(REQUESTS) == 0)
    assert 0 < shop.store.pttl(REPLY) <= 3_600_000
    assert caller.xread({REPLY: "0"})


def test_many_at_once_are_all_answered(shop, caller):
    for number in range(300):
        ask(caller, session_id=f"s-{number}", asked_id=str(number))
    until(lambda: len(answers(shop)) == 300)
    assert {status for status, _ in answers(shop).values()} == {201}


def test_what_is_no_request_is_answered_with_the_problem(shop, caller):
    ask(caller, asked_id="bad", limit=0)
    ask(caller, asked_id="none", arms=["x"], exclude=["x"])
    until(lambda: len(answers(shop)) == 2)
    assert [answers(shop)[one][0] for one in (b"bad", b"none")] == [422, 422]
    assert answers(shop)[b"bad"][1]["errors"][0]["pointer"] == "/limit"


def test_who_waits_no_longer_is_not_decided_for(shop, caller):
    """After an outage the stream is full of those."""
    old_ms = int(time.time() * 1000) - 60_000
    with shop.store.pipeline(transaction=True) as pipe:  # at once: the service makes the group anew itself
        pipe.delete(REQUESTS)
        pipe.xgroup_create(REQUESTS, "front", id="0", mkstream=True)
        pipe.execute()
    ask(caller, asked_id="old", entry_id=f"{old_ms}-0")
    until(lambda: answers(shop))
    assert answers(shop)[b"old"][0] == 408


def test_an_entry_that_is_answered_again_is_the_same_decision(shop, caller):
    """A replica died between the answer and giving the entry up; here the entry is read again."""
    shop.store.xgroup_create(REQUESTS, "other", id="$", mkstream=True)
    entry = ask(caller, asked_id="once").decode()
    until(lambda: answers(shop))
    first = answers(shop)[b"once"][1]
    again = shop.recommend(session_id="s-1", decision_id=f"stream:{entry}").json()
    shop.store.xgroup_destroy(REQUESTS, "other")
    assert (again["source"], again["decision_id"]) == ("repeat", first["decision_id"])


@pytest.mark.parametrize("reply", ["", "a b", "../x", "x" * 65, "*", "{bench.0}:ex", "a:b", "\n"])
def test_no_answer_goes_where_answers_are_not(shop, caller, reply):
    """The entry is given up, nothing is decided, and no key comes to be."""
    before = set(shop.store.keys())
    ask(caller, reply=reply)
    ask(caller, reply="mine", asked_id="after")
    until(lambda: b"after" in answers(shop))
    until(lambda: shop.store.xlen(REQUESTS) == 0)
    made = {key for key in set(shop.store.keys()) - before if b"reply" in key}
    assert made == {REPLY.encode()}


def test_a_request_that_is_half_there_is_answered_or_given_up(shop, caller):
    """No field at all, no request, an id like a book, a body beyond the limit; the next one is served."""
    caller.xadd(REQUESTS, {"x": "y"})
    caller.xadd(REQUESTS, {"reply": "mine", "id": "none"})
    ask(caller, asked_id="i" * 300)
    caller.xadd(REQUESTS, {"reply": "mine", "id": "long", "request": b"[" + b" " * 1_100_000})
    caller.xadd(REQUESTS, {"reply": "mine", "id": "bytes", "request": b"\xff\xfe"})
    ask(caller, asked_id="after")
    until(lambda: b"after" in answers(shop))
    until(lambda: shop.store.xlen(REQUESTS) == 0)
    assert {one: status for one, (status, _) in answers(shop).items()} == {
        b"none": 422,
        b"long": 413,
        b"bytes": 422,
        b"after": 201,
    }


class Deciding:
    """As much of a service as the front sees; its decisions are refusals, which cost nothing."""

    def __init__(self):
        self.application = SimpleNamespace(name="bounds")
        self.settings = SimpleNamespace(max_body_bytes=10)
        self.decider = SimpleNamespace(now_ms=lambda: 0)
        self.statuses = []
        self.telemetry = SimpleNamespace(answered=lambda _, status, seconds: self.statuses.append(status))


async def test_streams_stay_bounded_whatever_is_asked(store, store_url, monkeypatch):
    """Requests, the answers of one stream, and how many reply streams there are; a known one goes on."""
    monkeypatch.setattr(stream_entries, "_MOST_REQUESTS", 100)
    monkeypatch.setattr(stream_entries, "_MOST_ANSWERS", 100)
    monkeypatch.setattr(stream_front, "_MOST_REPLIES", 3)
    deciding, requests = Deciding(), keys.requests("bounds")
    pipe = store.pipeline(transaction=False)
    for number in range(1000):
        reply = "mine" if number % 2 else f"other-{number}"
        pipe.xadd(requests, {"request": "x" * 11, "reply": reply, "id": str(number)})
    pipe.execute()
    client = connect_reader_async(store_url, block_s=0.05)
    front = asyncio.create_task(StreamFront(deciding, client, 50, 1e9).serve())
    await asyncio.to_thread(until, lambda: store.xlen(requests) == 0)
    front.cancel()
    await asyncio.gather(front, return_exceptions=True)
    await client.aclose()
    made = {key.decode() for key in store.scan_iter("{bounds}:reply:*")}
    assert made == {keys.reply("bounds", name) for name in ("other-0", "mine", "other-2")}
    assert 0 < store.xlen(keys.reply("bounds", "mine")) <= 200  # trimmed by whole nodes, of a hundred
    assert all(0 < store.pttl(key) <= stream_entries.REPLIES_KEPT_MS for key in made)
    assert set(deciding.statuses) == {413, 422}
    assert len(deciding.statuses) < 1000  # the oldest beyond the bound were dropped unanswered


async def test_who_is_told_to_stop_stops_though_the_store_fails_meanwhile(store, store_url, monkeypatch):
    """What was begun could not be answered; it lies there for whoever comes next."""
    writes, fails = asyncio.Event(), asyncio.Event()

    async def write(entries, answered):
        writes.set()
        await fails.wait()
        raise redis.exceptions.TimeoutError

    monkeypatch.setattr(stream_entries.Entries, "_write", write)
    store.xadd(keys.requests("bounds"), {"request": "x" * 11, "reply": "mine", "id": "1"})
    client = connect_reader_async(store_url, block_s=0.05)
    front = asyncio.create_task(StreamFront(Deciding(), client, 50, 1e9).serve())
    await writes.wait()
    front.cancel()
    await asyncio.sleep(0)
    fails.set()
    done, _ = await asyncio.wait([front], timeout=5)
    front.cancel()
    await client.aclose()
    assert done
    assert front.cancelled()
    assert store.xlen(keys.requests("bounds")) == 1


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("caller", ("XADD", "{bench.0}:ex", "*", "a", "b")),
        ("caller", ("XADD", REPLY, "*", "a", "b")),
        ("caller", ("XREAD", "STREAMS", "{bench.0}:ex", "0")),
        ("caller", ("XREAD", "STREAMS", REQUESTS, "0")),
        ("caller", ("DEL", REQUESTS)),
        ("caller", ("GET", "{bench}:w")),
        ("caller", ("EVAL", "return 1", "0")),
        ("caller", ("KEYS", "*")),
        ("front", ("XADD", "{bench.0}:ex", "*", "a", "b")),
        ("front", ("XADD", "{bench}:w:log", "*", "a", "b")),
        ("front", ("XREAD", "STREAMS", REPLY, "0")),
        ("front", ("DEL", "{bench}:w")),
        ("front", ("SET", "{bench}:w", "1")),
        ("front", ("FLUSHALL",)),
        ("front", ("CONFIG", "GET", "*")),
    ],
)
def test_neither_user_of_the_store_can_touch_anything_else(shop, user, command):
    path = shop.store_server.url.removeprefix("unix://")
    with (
        redis.Redis(unix_socket_path=path, username=user, password=user) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.execute_command(*command)
