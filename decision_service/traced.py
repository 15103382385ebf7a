"""Which request is being asked for just now, where traces are on: known without a word of OpenTelemetry."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decision_service.tracing import Traced

now_traced: ContextVar[Traced | None] = ContextVar("now_traced", default=None)
"""Set around what a request is answered by."""

GONE = 499
"""The status of a request whose caller went away before it was here, as proxies have it."""
