"""The table of the console's pages: which data each has, and whether it lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from decision_service.auth import Role
from decision_service.console.arms import DEFAULT_WINDOW, ArmsPage
from decision_service.console.graph import GraphPage
from decision_service.console.models import ModelsPage
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
    models, arms, graph = _models(service), _arms(service), _graph(service)
    overview = Overview(service.scripts, service.application, service.settings.deadline_ms)
    return (
        Page("overview", lambda _: overview.look(), live=True),
        Page("models", lambda _: models.look(), live=True),
        Page("arms", lambda visit: arms.look(visit.query.get("window", DEFAULT_WINDOW))),
        Page("graph", lambda _: graph.look(), live=True),
    )


def _models(service: Service) -> ModelsPage:
    return ModelsPage(
        service.scripts, service.application.name, service.models, lambda: service.canaries.drifts()
    )


def _arms(service: Service) -> ArmsPage:
    application = service.application
    return ArmsPage(
        service.scripts,
        application.name,
        application.reward.horizon_s,
        lambda: service.decider.shelves.current.ids,
        service.decider.now_ms,
    )


def _graph(service: Service) -> GraphPage:
    declared, deadline_ms = service.decider.features.declared, service.settings.deadline_ms
    return GraphPage(service.scripts, service.application.name, declared, deadline_ms)
