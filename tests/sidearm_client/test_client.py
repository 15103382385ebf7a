"""The client against a running service: keys, retries, fallback, rewards in the background; and its page."""

from __future__ import annotations

import asyncio
import doctest
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidearm_client import AsyncClient, Batching, Client, Decision, Refused, Retries, Unavailable
from tests.decision_service.platform import Platform, platform

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
PATIENT = 20.0
"""Seconds; tests share their machine."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform() as made:
        yield made


@pytest.fixture
def client(shop: Platform) -> Iterator[Client]:
    with Client(shop.url, shop.key, timeout_s=PATIENT) as made:
        yield made


class Losing(httpx.BaseTransport):
    """Sends each request, and loses the first ``times`` answers."""

    def __init__(self, times: int) -> None:
        self.left, self.sent = times, 0
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        response = self._inner.handle_request(request)
        if self.left:
            self.left -= 1
            response.read()
            response.close()
            raise httpx.ReadTimeout("lost on purpose")
        return response

    def close(self) -> None:
        self._inner.close()


def test_the_page_says_what_happens():
    """Every line of docs/client.md, in order, against a service of its own."""
    with platform() as shop:
        names = {"url": shop.url, "key": shop.key}
        failed, tried = doctest.testfile(
            str(PAGE), module_relative=False, globs=names, optionflags=doctest.NORMALIZE_WHITESPACE
        )
    assert tried > 20
    assert failed == 0


def test_a_lost_answer_is_asked_for_again_and_is_the_same_decision(shop):
    """The key does it; the store has one decision of that session."""
    transport = Losing(2)
    with Client(shop.url, shop.key, timeout_s=PATIENT, transport=transport) as client:
        decision = client.decide("lost-answer")
    assert (transport.sent, decision.source, decision.fell_back) == (3, "repeat", False)
    receipt = shop.reward(session_id="lost-answer", event="view", reward_id="v").json()
    assert receipt["decision_id"] == decision.decision_id


def test_a_lost_receipt_is_asked_for_again_and_counts_once(shop):
    """In the background as well."""
    with Client(shop.url, shop.key, timeout_s=PATIENT, transport=Losing(1)) as client:
        decision = client.decide("lost-receipt")
        client._transport.left = 1
        decision.reward(2.0)
        assert client.flush(PATIENT)
        assert client.counts == {"duplicate": 1}
    assert [r["value"] for r in shop.decision(decision.decision_id)["rewards"]] == [2.0]


def test_a_reward_at_fault_does_not_keep_the_others_of_its_batch(client, shop):
    """The service takes none of such a batch; the client leaves it out, says so, and sends the others."""
    lost: list[tuple[dict[str, Any], Exception]] = []
    decision = client.decide("faulty")
    with Client(shop.url, shop.key, timeout_s=PATIENT, on_lost=lambda *one: lost.append(one)) as teller:
        for reward_id, value in (("a", 1.0), ("b", 999.0), ("c", 2.0)):
            teller.reward(value, decision_id=decision.decision_id, reward_id=reward_id)
        assert teller.flush(PATIENT)
        assert teller.counts == {"refused": 1, "accepted": 2}
    [(body, why)] = lost
    assert body["reward_id"] == "b"
    assert isinstance(why, Refused)
    assert why.problem.errors[0].pointer == "/rewards/1/reward"


def test_a_block_that_raises_does_not_activate(client, shop):
    """It was not shown."""
    with pytest.raises(ZeroDivisionError), client.decide("not-shown", deferred=True) as decision:
        1 / 0  # noqa: B018
    client.flush(PATIENT)
    assert shop.decision(decision.decision_id)["state"] == "deferred"


def test_a_wrong_key_is_refused_in_spite_of_a_fallback(shop):
    """It would never pass."""
    with Client(shop.url, "sk_wrong", fallback=["sku-1"]) as client, pytest.raises(Refused) as refused:
        client.decide("s")
    assert refused.value.problem.status == 401


def test_rewards_wait_while_the_service_is_away(shop, client):
    """They are sent when it is back; nothing is lost."""
    decision = client.decide("outage")
    gate = threading.Event()
    with httpx.Client() as inner:

        def send(request: httpx.Request) -> httpx.Response:
            if not gate.is_set():
                raise httpx.ConnectError("away")
            return inner.send(request)

        away = Client(shop.url, shop.key, transport=httpx.MockTransport(send), retries=Retries(most=0))
        assert away.reward(3.0, decision_id=decision.decision_id)
        assert not away.flush(0.05)
        assert away.waiting == 1
        gate.set()
        assert away.flush(PATIENT)
        assert away.counts == {"accepted": 1}
        away.close()


def test_a_child_process_has_connections_of_its_own(shop, client):
    """Made before a fork, used after it, on both sides; what the parent will tell is not told twice."""
    decision = client.decide("forked")
    client.reward(1.0, decision_id=decision.decision_id, reward_id="parent")
    child = os.fork()
    if child == 0:
        told = client.reward(2.0, decision_id=decision.decision_id, reward_id="child")
        done = told and client.flush(PATIENT) and client.counts == {"accepted": 1}
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.flush(PATIENT)
    assert client.counts == {"accepted": 1}


async def test_the_twin_does_the_same(shop):
    """Asked, retried, rewarded, activated; and an awaited decision is one as well."""
    lose = [True]

    async def send(request: httpx.Request) -> httpx.Response:
        response = await inner.send(request)
        if lose and lose.pop():
            raise httpx.ReadError("lost on purpose")
        return response

    transport = httpx.MockTransport(send)
    async with (
        httpx.AsyncClient() as inner,
        AsyncClient(shop.url, shop.key, timeout_s=PATIENT, transport=transport) as client,
    ):
        async with client.decide("twin", deferred=True) as decision:
            assert decision.reward(1.0)
        other = await client.decide("twin")
        assert await client.flush(PATIENT)
        assert (await client.decision(decision.decision_id))["state"] == "pending"
        assert (await client.reward_now(1.0, decision_id=other.decision_id)).status == "accepted"
    assert decision.source == "repeat"
    assert client.counts == {"accepted": 1, "activated": 1}


async def test_the_twin_falls_back_and_gives_up(shop):
    """What cannot be told when it is closed is lost, counted, and told."""
    lost: list[Any] = []
    batching = Batching(close_s=0.05)
    client = AsyncClient(
        "http://127.0.0.1:9", fallback=["x"], batching=batching, on_lost=lambda *one: lost.append(one)
    )
    assert (await client.decide("s")).fell_back
    client.reward(1.0, session_id="s", reward_id="r")
    await client.close()
    assert client.counts == {"lost": 1}
    assert lost[0][0]["reward_id"] == "r"
    assert not client.reward(1.0, session_id="s")


async def test_many_tasks_share_a_client(shop):
    """As many decisions as were asked for."""

    async def one(client: AsyncClient, number: int) -> Decision:
        return await client.decide(f"many-{number}")

    async with AsyncClient(shop.url, shop.key, timeout_s=PATIENT) as client:
        found = await asyncio.gather(*(one(client, n) for n in range(40)))
    assert len({decision.decision_id for decision in found}) == 40


def public(kind: type) -> dict[str, Callable[..., Any]]:
    return {name: one for name, one in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_the_twins_have_the_same_methods_and_arguments():
    """Only what they return differs."""
    threads, tasks = public(Client), public(AsyncClient)
    assert threads.keys() == tasks.keys()
    for name, method in {**threads, "__init__": Client.__init__}.items():
        other = getattr(AsyncClient, name)
        told = [
            {p.name: (p.kind, p.default) for p in inspect.signature(one).parameters.values()}
            for one in (method, other)
        ]
        assert told[0] == told[1], name


def test_nothing_to_fall_back_to_is_an_error():
    """With the error of the transport as its cause."""
    with Client("http://127.0.0.1:9") as client, pytest.raises(Unavailable) as failure:
        client.decide("s")
    assert isinstance(failure.value.__cause__, httpx.ConnectError)
