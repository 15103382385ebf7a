"""What other products' doors cost, beside the native call that does the same: processor time of the service.

Both are asked with the same arms, features and context, in turns, by the same client; the ratio is of the
whole service process, so that what the two share is in it. One at a time, and as many as share batches: the
more come together, the less of a request is the decision, and the more its translation.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.processor import micros_a_request
from benchmarks.servers import DECIDES, platform
from benchmarks.wrk import need_wrk, wrk
from decision_service.cli.platform import Platform

_TURNS, _SECONDS, _ARMS = 11, 1, 10
_MANY = 64
_MOST = 1.2
_CONTEXT = {"device": "ios", "hour": 21.0, "returning": True, "country": "de"}

Body = dict[str, Any]
Kind = tuple[str, Body]
"""Path and body; ``@`` in it is each request's own."""


def native() -> Kind:
    """A recommendation that says the same as :func:`rank`."""
    arms = [{"id": f"a{n}", "features": {"kind": f"k{n % 3}", "price": float(n)}} for n in range(_ARMS)]
    body = {"session_id": "@", "decision_id": "@", "context": _CONTEXT, "arms": arms, "limit": "all"}
    return "/v1/recommendations", body


def rank() -> Kind:
    """A rank of Personalizer's."""
    actions = [
        {"id": f"a{n}", "features": [{"kind": f"k{n % 3}"}, {"price": float(n)}]} for n in range(_ARMS)
    ]
    context = [{name: value} for name, value in _CONTEXT.items()]
    return "/personalizer/v1.0/rank", {"eventId": "@", "contextFeatures": context, "actions": actions}


def figures(scratch: Path) -> Iterator[Figure]:
    """A rank beside a recommendation.

    Raises:
        WrkMissing: with how to get it.
    """
    need_wrk()
    with platform(scratch, DECIDES) as ours:
        for name, connections in (("personalizer_rank", 1), (f"personalizer_rank_at_{_MANY}", _MANY)):
            ours_us, theirs_us = _beside(ours, connections)
            yield Figure(
                f"doors.{name}",
                theirs_us,
                "µs of the service",
                ours_us,
                "the native call",
                at_most=_MOST,
                facts={"arms": _ARMS, "connections": connections},
            )


def _beside(ours: Platform, connections: int) -> tuple[float, float]:
    """Of the native call, the median of the turns; of a rank, that times the median of their ratios.

    Machines are slower one second and faster the next: a ratio is of two turns side by side. The first, in
    which caches fill, is dropped.
    """
    pairs = [[_turn(ours, connections, kind) for kind in (native(), rank())] for _ in range(_TURNS + 1)][1:]
    native_us = statistics.median(pair[0] for pair in pairs)
    return native_us, native_us * statistics.median(pair[1] / pair[0] for pair in pairs)


def _turn(ours: Platform, connections: int, kind: Kind) -> float:
    path, body = kind
    with micros_a_request(ours) as cost:
        run = wrk(ours.port, connections, ours.key, _SECONDS, "doors.lua", [path, json.dumps(body)])
    if run.failed:
        raise RuntimeError(f"{run.failed} requests to {path} were not answered with 2xx")
    return cost.of(run.calls)["service"]
