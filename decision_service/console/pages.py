"""The table of the console's pages: which data each has, and whether it lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from decision_service.auth import Role
from decision_service.console.arms import DEFAULT_WINDOW, ArmsPage
from decision_service.console.decisions import DecisionPages
from decision_service.console.evaluations import EvaluationPages
from decision_service.console.graph import GraphPage
from decision_service.console.models import ModelsPage
from decision_service.console.overview import Overview
from decision_service.doors.foreign import Visit
from decision_service.errors import NotFound
from decision_service.service import Service


class Page(Struct, frozen=True):
    """One page's data, at ``/v1/console/<name>``."""

    name: str
    look: Callable[[Visit], Awaitable[object]]
    """Given the request (``parts`` behind ``/v1/console/``, ``query``, ``body``), something for JSON,
    or a whole ``HttpAnswer``.

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
        *_decisions(DecisionPages(service)),
        *_evaluations(EvaluationPages(service)),
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


def _decisions(pages: DecisionPages) -> tuple[Page, ...]:
    async def look(visit: Visit) -> object:
        return await (pages.one(visit.parts[1]) if len(visit.parts) > 1 else pages.search(visit.query))

    return (Page("decisions", look, deeper=True),)


def _evaluations(pages: EvaluationPages) -> tuple[Page, ...]:
    async def look(visit: Visit) -> object:
        match visit.parts[1:]:
            case ():
                return await pages.look()
            case (name,):
                return await pages.answer(name)
            case (name, "report"):
                return await pages.report(name)
        raise NotFound("there are evaluations, evaluations/<name> and evaluations/<name>/report")

    async def ask(visit: Visit) -> object:
        return await pages.ask(visit.body)

    async def cancel(visit: Visit) -> object:
        return await pages.cancel(visit.parts[1] if len(visit.parts) == _NAMED else "")

    return (
        Page("evaluations", look, deeper=True),
        Page("evaluations", ask, method="POST", role="admin", limit_bytes=_QUESTION_BYTES),
        Page("evaluations", cancel, method="DELETE", role="admin", deeper=True),
    )


_NAMED = 2
_QUESTION_BYTES = 16_384
