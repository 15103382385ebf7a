"""A span of a score call: below the stage that asked for it, or linked with each where several did."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sidecar.contracts.tracing import span_of_many
from sidecar.contracts.wire import ScoreRequest, ScoreResponse

if TYPE_CHECKING:
    from sidecar.contracts.tracing import Tracers

_NS = 1_000_000_000


def trace_scored(tracers: Tracers, request: ScoreRequest, response: ScoreResponse, took_s: float) -> None:
    """Tell of a call that took so many seconds until now, if somebody looks at one of its rows."""
    told = {"sidearm.rows": len(request.rows), "sidearm.model_version": response.model_version}
    ended_ns = time.time_ns()
    words = (row.trace for row in request.rows)
    span = span_of_many(tracers, "score", words, told, ended_ns - round(took_s * _NS))
    if span is not None:
        span.end(ended_ns)
