"""What other products' doors cost, beside the native call that does the same: processor time of the service.

Both are asked with the same arms, features and context, in turns, by the same connections; the ratio is of
the whole service process, so that what the two share is in it.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figures import Figure
from benchmarks.processor import micros_a_request
from benchmarks.servers import DECIDES, platform
from decision_service.cli.platform import Platform

_TURNS, _CALLS, _LINES, _ARMS = 9, 400, 8, 10
_MOST = 1.2
_CONTEXT = {"device": "ios", "hour": 21.0, "returning": True, "country": "de"}

Body = dict[str, Any]
_numbers = itertools.count()


def native(event_id: str) -> tuple[str, Body]:
    """A recommendation that says the same as :func:`rank`."""
    arms = [{"id": f"a{n}", "features": {"kind": f"k{n % 3}", "price": float(n)}} for n in range(_ARMS)]
    body = {
        "session_id": event_id,
        "decision_id": event_id,
        "context": _CONTEXT,
        "arms": arms,
        "limit": "all",
    }
    return "/v1/recommendations", body


def rank(event_id: str) -> tuple[str, Body]:
    """A rank of Personalizer's."""
    actions = [
        {"id": f"a{n}", "features": [{"kind": f"k{n % 3}"}, {"price": float(n)}]} for n in range(_ARMS)
    ]
    context = [{name: value} for name, value in _CONTEXT.items()]
    return "/personalizer/v1.0/rank", {"eventId": event_id, "contextFeatures": context, "actions": actions}


def figures(scratch: Path) -> Iterator[Figure]:
    """A rank beside a recommendation."""
    with platform(scratch, DECIDES) as ours:
        times = asyncio.run(_turns(ours, [native, rank]))
    yield Figure(
        "doors.personalizer_rank",
        statistics.median(times[1]),
        "µs of the service",
        statistics.median(times[0]),
        "the native call",
        at_most=_MOST,
        facts={"arms": _ARMS, "connections": _LINES},
    )


async def _turns(ours: Platform, kinds: list[Callable[[str], tuple[str, Body]]]) -> list[list[float]]:
    headers = {"authorization": f"Bearer {ours.key}"}
    found: list[list[float]] = [[] for _ in kinds]
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{ours.port}", headers=headers, timeout=30.0
    ) as client:
        for _ in range(_TURNS):
            for kind, times in zip(kinds, found, strict=True):
                times.append(await _turn(ours, client, kind))
    return found


async def _turn(ours: Platform, client: httpx.AsyncClient, kind: Callable[[str], tuple[str, Body]]) -> float:
    async def line() -> None:
        for _ in range(_CALLS // _LINES):
            path, body = kind(f"e-{next(_numbers)}")
            response = await client.post(path, json=body)
            if response.status_code != 201:
                raise AssertionError(f"{path}: {response.status_code} {response.text[:200]}")

    with micros_a_request(ours) as cost:
        await asyncio.gather(*(line() for _ in range(_LINES)))
    return cost.of(_CALLS)["service"]
