"""G32 (``benchmarks/feature_graph/g32.py``) as the features of an application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.feature_graph import g32
from feature_graph import Graph, fetch

WAIT_S = 0.1
PATIENCE_S = 0.2


@asynccontextmanager
async def clients() -> AsyncIterator[dict[str, object]]:
    """The one input."""
    yield dict(g32.GIVEN)


graph = Graph(
    g32.Given,
    *(fetch(timeout=PATIENCE_S)(body) for body in g32.functions("wait", [WAIT_S] * g32.SIZE)),
)
goals = g32.GOALS
