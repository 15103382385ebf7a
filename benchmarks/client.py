"""What `sidearm_client` adds to a call over bare httpx: keys, retries, an answer made into a decision.

The same request is sent by both through a transport that answers at once, turn by turn, so that neither
network nor service are in it; processor time, the median of the turns.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator

import httpx

from benchmarks.figures import Figure
from sidearm_client import AsyncClient, Client

_TURNS, _CALLS = 21, 100
_LEGAL_US = 300.0
_CONTEXT: dict[str, str | float | bool] = {"device": "ios", "hour": 21, "returning": True}
_BODY = {"session_id": "s-42", "context": _CONTEXT}
_URL = "http://sidearm"
_ANSWER = (
    b'{"decision_id":"1-1a1fcb5ed8cfcd4274c6f46601b","session_id":"s-42","arm":"sku-2","probability":0.91,'
    b'"ranking":[{"arm":"sku-2","probability":0.91,"score":0.12}],"source":"model","policy":"champion",'
    b'"model_version":1234,"logged":true,"reward_until":"2026-01-01T12:30:00.000Z"}'
)
_TRANSPORT = httpx.MockTransport(lambda _: httpx.Response(201, content=_ANSWER))


def figures() -> Iterator[Figure]:
    """A decision of either client, beside the same request by bare httpx."""
    yield _figure("client.added", _threads())
    yield _figure("client.added_async", asyncio.run(_tasks()))


def _figure(name: str, medians_us: list[float]) -> Figure:
    plain_us, ours_us = medians_us
    return Figure(
        name,
        ours_us - plain_us,
        "µs a decision",
        _LEGAL_US,
        "300 µs over bare httpx",
        at_most=1.0,
        facts={"bare_us": round(plain_us, 1), "ours_us": round(ours_us, 1)},
    )


def _threads() -> list[float]:
    with (
        httpx.Client(base_url=_URL, transport=_TRANSPORT) as bare,
        Client(_URL, "sk_0", transport=_TRANSPORT) as client,
    ):
        calls: list[Callable[[], object]] = [
            lambda: bare.post("/v1/recommendations", json=_BODY).json(),
            lambda: client.decide("s-42", context=_CONTEXT),
        ]
        found: list[list[float]] = [[], []]
        for _ in range(_TURNS):
            for call, times in zip(calls, found, strict=True):
                began_ns = time.thread_time_ns()
                for _ in range(_CALLS):
                    call()
                times.append(_micros_since(began_ns))
    return [statistics.median(times) for times in found]


async def _tasks() -> list[float]:
    async with (
        httpx.AsyncClient(base_url=_URL, transport=_TRANSPORT) as bare,
        AsyncClient(_URL, "sk_0", transport=_TRANSPORT) as client,
    ):

        async def plain() -> object:
            return (await bare.post("/v1/recommendations", json=_BODY)).json()

        async def ours() -> object:
            return await client.decide("s-42", context=_CONTEXT)

        found: list[list[float]] = [[], []]
        for _ in range(_TURNS):
            for call, times in zip((plain, ours), found, strict=True):
                began_ns = time.thread_time_ns()
                for _ in range(_CALLS):
                    await call()
                times.append(_micros_since(began_ns))
    return [statistics.median(times) for times in found]


def _micros_since(began_ns: int) -> float:
    """Of processor time, a call."""
    return (time.thread_time_ns() - began_ns) / _CALLS / 1000
