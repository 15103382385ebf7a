"""What `sidearm_client` adds to a call over bare httpx: keys, retries, an answer made into a decision.

The same request is sent by both through a transport that answers at once, turn by turn, so that neither
network nor service are in it; processor time, the median of the turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import httpx

from benchmarks.figures import Figure
from sidearm_client import Client

_TURNS, _CALLS = 21, 100
_LEGAL_US = 300.0
_CONTEXT = {"device": "ios", "hour": 21, "returning": True}
_ANSWER = (
    b'{"decision_id":"1-1a1fcb5ed8cfcd4274c6f46601b","session_id":"s-42","arm":"sku-2","probability":0.91,'
    b'"ranking":[{"arm":"sku-2","probability":0.91,"score":0.12}],"source":"model","policy":"champion",'
    b'"model_version":1234,"logged":true,"reward_until":"2026-01-01T12:30:00.000Z"}'
)


def figures() -> Iterator[Figure]:
    """A decision, beside the same request by bare httpx."""
    transport = httpx.MockTransport(lambda _: httpx.Response(201, content=_ANSWER))
    with (
        httpx.Client(base_url="http://sidearm", transport=transport) as bare,
        Client("http://sidearm", "sk_0", transport=transport) as client,
    ):
        body = {"session_id": "s-42", "context": _CONTEXT}
        plain_us, ours_us = _medians_us(
            lambda: bare.post("/v1/recommendations", json=body).json(),
            lambda: client.decide("s-42", context=_CONTEXT),
        )
    yield Figure(
        "client.added",
        ours_us - plain_us,
        "µs a decision",
        _LEGAL_US,
        "300 µs over bare httpx",
        at_most=1.0,
        facts={"bare_us": round(plain_us, 1), "ours_us": round(ours_us, 1)},
    )


def _medians_us(*calls: Callable[[], object]) -> list[float]:
    """Of each, microseconds of processor time a call."""
    found: list[list[float]] = [[] for _ in calls]
    for _ in range(_TURNS):
        for call, times in zip(calls, found, strict=True):
            began_ns = time.thread_time_ns()
            for _ in range(_CALLS):
                call()
            times.append((time.thread_time_ns() - began_ns) / _CALLS / 1000)
    return [statistics.median(times) for times in found]
