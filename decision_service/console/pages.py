"""The table of the console's pages: which data each has, and whether it lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from decision_service.auth import Role
from decision_service.console.overview import Overview
from decision_service.doors.foreign import Visit
from decision_service.service import Service


class Page(Struct, frozen=True):
    """One page's data, at ``/v1/console/<name>``."""

    name: str
    look: Callable[[Visit], Awaitable[object]]
    """Given the request (``parts`` behind ``/v1/console/``, ``query``, ``body``), something for JSON.

    Raises ``ServiceError`` where it is refused.
    """
    live: bool = False
    """Its events come once a second, made without a query; its answers are then as old as that, at most."""
    method: str = "GET"
    role: Role = "read"
    limit_bytes: int = 0
    """Longest body; 0: it takes none."""
    deeper: bool = False
    """There are paths below it too: ``/v1/console/<name>/…``."""


def pages_of(service: Service) -> tuple[Page, ...]:
    """All pages, in the order in which people see them."""
    overview = Overview(service)
    return (Page("overview", lambda _: overview.look(), live=True),)
