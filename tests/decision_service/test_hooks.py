"""Webhooks: what is news, who is told, in what order, how often, and signed how."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from decision_service.errors import StoreAway
from decision_service.hooks.hooks import Hooks
from decision_service.hooks.news import Look, News, Told, first, news_of
from decision_service.hooks.outbox import Outbox
from decision_service.hooks.signing import headers_of, secret_of
from sidecar.contracts.ending import end
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.learner_report import Judgement, Verdict
from sidecar.contracts.store import AsyncScripts, connect_async
from tests.decision_service.platform import platform
from tests.waiting import until

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """An address; the first ``refused`` messages are answered with 500."""

    def __init__(self, refused: int = 0, status: int = 500) -> None:
        self.came: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.came.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status if len(outer.came) <= refused else 204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self) -> list[dict[str, Any]]:
        """What was told, each message checked by the standard's library."""
        return [Webhook(SECRET).verify(body, headers) for headers, body in self.came]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def look(**more: Any) -> Look:
    seen: dict[str, Any] = {"notices": (), "champion": "a", "refusals": (), "drift": {}, "evaluations": ()}
    return Look(app="shop", now_ms=1_000_000, **(seen | more))


def kinds(told: Told, **more: Any) -> list[str]:
    return [one.type for one in news_of(look(**more), told)[0]]


def refusal(version: int, at_ms: int) -> Judgement:
    return Judgement(version, at_ms, 10, Verdict(False, "worse", 0, 1.0, 0.0, 10))


def test_who_looks_first_tells_nothing_of_before():
    """Nobody wants to hear of last year."""
    before = look(
        notices=[("5-0", {b"pinned": b"7"})],
        refusals=[refusal(1, 5)],
        evaluations=["2026-01-01"],
        champion="b",
    )
    told = first(before)
    assert told == Told("5-0", "b", 5, 0, (), "2026-01-01")
    assert news_of(look(champion="b", refusals=[refusal(1, 5)], evaluations=["2026-01-01"]), told) == (
        [],
        told,
    )


def test_every_kind_of_news_is_told_once():
    """By hand promoted, rolled back, resumed, refused, evaluated, drifted; exploration is none."""
    notices = [
        (
            "1-0",
            {b"roster": b"3", b"what": b"promote b by hand", b"evidence": b"", b"clock_ms": b"1700000000000"},
        ),
        ("2-0", {b"pinned": b"12", b"before": b"", b"reason": b"it sold nothing"}),
        ("3-0", {b"pinned": b"", b"before": b"12"}),
        ("4-0", {b"explore": b"2"}),
        ("5-0", {b"roster": b"4", b"what": b"share of c", b"evidence": b""}),
    ]
    seen = look(
        notices=notices,
        champion="b",
        refusals=[refusal(9, 50)],
        evaluations=["2026-01-02"],
        drift={"old": 0.3},
    )
    news, told = news_of(seen, Told(notice="0-1", champion="a"))
    assert [one.type for one in news] == [
        "policy.promoted", "policy.rolled_back", "policy.resumed", "gate.refused", "drift.detected",
        "evaluation.completed",
    ]  # fmt: skip
    assert news[0].data == {
        "application": "shop",
        "champion": "b",
        "before": "a",
        "what": "promote b by hand",
    }
    assert news[0].at == "2023-11-14T22:13:20.000Z"
    assert news[1].data["reason"] == "it sold nothing"
    assert len({one.id for one in news}) == 6
    assert news_of(msgspec.structs.replace(seen, notices=()), told) == ([], told)


def test_a_gate_that_goes_on_refusing_is_told_of_rarely():
    """Once in ten minutes."""
    told = Told(notice="0-0", champion="a", refused_at_ms=50, gate_told_ms=900_000)
    assert kinds(told, refusals=[refusal(9, 51)]) == []
    assert kinds(msgspec.structs.replace(told, gate_told_ms=0), refusals=[refusal(9, 51)]) == ["gate.refused"]


def test_drift_is_news_again_after_it_was_over():
    """Between the two bounds nothing changes."""
    told = Told(notice="0-0", champion="a")
    for drift, said in (
        (0.2, []),
        (0.3, ["drift.detected"]),
        (0.4, []),
        (0.2, []),
        (0.05, []),
        (0.3, ["drift.detected"]),
    ):
        news, told = news_of(look(drift={"old": drift}), told)
        assert [one.type for one in news] == said, drift


@pytest.mark.parametrize("said", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_???", "secret"])
def test_a_secret_that_is_none_is_refused(said):
    with pytest.raises(BadSettings, match="webhook_secret"):
        secret_of(said)


def test_signatures_are_the_standards():
    """Its own library takes them, and refuses another body."""
    headers = headers_of(secret_of(SECRET), "msg_1", 2_000_000_000, b"{}")
    hook = Webhook(SECRET)
    assert headers["webhook-signature"] == hook.sign("msg_1", _time(2_000_000_000), "{}")
    assert headers["webhook-signature"] != hook.sign("msg_1", _time(2_000_000_000), "{ }")


def _time(seconds: int) -> Any:
    return datetime.fromtimestamp(seconds, UTC)


def news(number: int) -> News:
    return News(f"msg_{number}", "policy.promoted", "2026-01-01T00:00:00.000Z", {"n": number})


async def told_of(
    store_url: str, receivers: list[Receiver], attempts: int, count: int, expected: int
) -> list[str]:
    """What became of so many messages to each of ``receivers``, over the real store."""
    client = connect_async(store_url, timeout_s=5.0, max_connections=8)
    outbox, counted, settled = Outbox(AsyncScripts.on(client), "shop", "me"), [], asyncio.Event()
    for receiver in receivers:  # addresses begin with what comes after they are known
        await outbox.place_of(receiver.url)
    await outbox.write([news(n) for n in range(1, count + 1)], Told())

    def count_it(word: str) -> None:
        counted.append(word)
        if len(counted) == expected:
            settled.set()

    async def unseen(_: Any) -> Look:
        raise StoreAway("not looked at here")

    urls, pauses_s = [receiver.url for receiver in receivers], (0.0,) * (attempts - 1)
    hooks = Hooks(outbox, urls, secret_of(SECRET), unseen, time.time, count_it, pauses_s)
    works = [asyncio.create_task(work) for work in hooks.works()]
    try:
        async with asyncio.timeout(20.0):
            await settled.wait()
    finally:
        for work in works:
            await end(work)
        await client.aclose()
        for receiver in receivers:
            receiver.close()
    return counted


async def test_every_address_is_told_of_all_in_order_until_it_has_heard(store_url):
    """One that fails at first keeps nobody waiting, and misses nothing; each is told once."""
    good, bad = Receiver(), Receiver(refused=2)
    assert await told_of(store_url, [good, bad], 5, 3, 6) == ["delivered"] * 6
    assert [one["data"]["n"] for one in good.told()] == [1, 2, 3]
    assert [one["data"]["n"] for one in bad.told()] == [1, 1, 1, 2, 3]
    assert len({headers["webhook-id"] for headers, _ in bad.came}) == 3


async def test_an_address_that_is_gone_or_never_answers_is_given_up(store_url):
    """410 at once, others after the last attempt; what comes next is told."""
    gone, dead = Receiver(refused=1, status=410), Receiver(refused=3)
    counted = await told_of(store_url, [gone, dead], 3, 2, 4)
    assert sorted(counted) == ["delivered", "delivered", "given_up", "gone"]
    assert [one["data"]["n"] for one in dead.told()] == [1, 1, 1, 2]


@pytest.mark.slow
def test_a_running_service_tells_of_what_happens(receiver):
    """A promotion by hand and a finished evaluation; a wrong secret stops the start."""
    environ = {
        "SIDEARM_DECISION_SERVICE_WEBHOOKS": receiver.url,
        "SIDEARM_DECISION_SERVICE_WEBHOOK_SECRET": SECRET,
    }
    with platform(sidecar=False, environ=environ) as shop:
        until(lambda: shop.store.hlen("{bench}:hooks:state") == 2, 20.0, "the first look")
        shop.client.put("/v1/models/bold", json={"role": "challenger", "version": "live"}).raise_for_status()
        shop.client.post("/v1/models/bold/promote").raise_for_status()
        until(lambda: receiver.came, 20.0, "the promotion")
        day = shop.data.evaluations("bench") / "2026-01-02"
        day.mkdir(parents=True)
        (day / "evaluation.json").write_text("{}")
        until(lambda: len(receiver.came) == 2, 20.0, "the evaluation")
        delivered = 'sidearm_webhooks_total{status="delivered"} 2.0'  # counted once the answer is there
        until(lambda: delivered in shop.client.get("/metrics").text, 20.0, "both are counted")
    promoted, evaluated = receiver.told()
    assert (promoted["type"], promoted["data"]["champion"]) == ("policy.promoted", "bold")
    assert (evaluated["type"], evaluated["data"]) == (
        "evaluation.completed",
        {"application": "bench", "day": "2026-01-02"},
    )
    assert json.dumps(promoted).find("whsec") == -1
