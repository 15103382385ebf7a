"""The application: its table of endpoints, and FastAPI around them for the rest."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request as FrameworkRequest
from starlette.responses import Response

from decision_service.asgi import AsgiApp
from decision_service.console.dialect import ConsoleDialect
from decision_service.console.door import ConsoleDoor
from decision_service.console.pages import pages_of
from decision_service.cross_origin import CrossOrigin, origins_of
from decision_service.documentation.openapi import document_of
from decision_service.door import Door
from decision_service.doors.events.cloudevents import CloudEvents
from decision_service.doors.events.segment import Segment
from decision_service.doors.foreign import Dialect, ForeignDoor
from decision_service.doors.ofrep.dialect import Ofrep
from decision_service.doors.personalizer.dialect import Personalizer
from decision_service.endpoint import Endpoint
from decision_service.handlers import Handlers
from decision_service.problem import HttpAnswer, http_problem
from decision_service.service import Service


def make_app(service: Service) -> AsgiApp:
    """The ASGI application over an open service; pages of other origins are let in where settings say so.

    Raises:
        BadSettings: an origin that is none.
    """
    origins = origins_of(service.settings.cors_origins)
    return CrossOrigin(origins, _door(service)) if origins else _door(service)


def _door(service: Service) -> Door:
    settings = service.settings
    table = endpoints(service)
    console = ConsoleDialect(pages_of(service), service.sessions) if settings.console else None
    dialects: list[Dialect] = [Personalizer(service), Ofrep(service), CloudEvents(service), Segment(service)]
    foreign = ForeignDoor(
        [*dialects, *([console] if console else [])],
        _framework(service, table),
        service.keyring,
        service.telemetry,
        settings.body_timeout_s,
        service.admission,
        lambda: service.stopping,
    )
    return Door(
        table,
        _console(service, console, foreign) if console else foreign,
        service.keyring,
        service.telemetry,
        settings.body_timeout_s,
        service.admission,
        lambda: service.stopping,
        service.sessions,
    )


def _console(service: Service, dialect: ConsoleDialect, beyond: AsgiApp) -> ConsoleDoor:
    return ConsoleDoor(
        service.application.name,
        dialect.lives,
        beyond,
        service.keyring,
        service.sessions,
        service.telemetry,
        service.settings.body_timeout_s,
        lambda: service.stopping,
    )


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """Every endpoint of ours: name, method, path, what it does, who may, how long its body may be."""
    small, large = service.settings.max_body_bytes, service.settings.max_batch_body_bytes
    does = Handlers(service)
    return (
        Endpoint(
            "recommend",
            "POST",
            "/v1/recommendations",
            does.recommend,
            "decide",
            small,
            at_once=does.recommend_at_once,
        ),
        Endpoint(
            "recommend_batch",
            "POST",
            "/v1/recommendations/batch",
            does.recommend_batch,
            "decide",
            large,
            "batch",
        ),
        Endpoint("reward", "POST", "/v1/rewards", does.reward, "reward", small),
        Endpoint("reward_batch", "POST", "/v1/rewards/batch", does.reward_batch, "reward", large),
        Endpoint("activate", "POST", "/v1/decisions/{decision_id}/activate", does.activate, "decide", small),
        Endpoint("decision", "GET", "/v1/decisions/{decision_id}", does.decision, "read"),
        Endpoint("explain", "GET", "/v1/decisions/{decision_id}/explanation", does.explain, "read"),
        Endpoint("exploration", "GET", "/v1/exploration", does.exploration, "read"),
        Endpoint("explore", "PUT", "/v1/exploration", does.explore, "admin", small),
        Endpoint("models", "GET", "/v1/models", does.models, "read"),
        Endpoint("arms", "GET", "/v1/arms", does.arms, "read"),
        Endpoint("change_arms", "POST", "/v1/arms", does.change_arms, "admin", large),
        Endpoint("put_arm", "PUT", "/v1/arms/{arm_id}", does.put_arm, "admin", small),
        Endpoint("patch_arm", "PATCH", "/v1/arms/{arm_id}", does.patch_arm, "admin", small),
        Endpoint("retire_arm", "DELETE", "/v1/arms/{arm_id}", does.retire_arm, "admin"),
        Endpoint("deploy_model", "PUT", "/v1/models/{name}", does.deploy, "admin", small),
        Endpoint("change_model", "PATCH", "/v1/models/{name}", does.alter, "admin", small),
        Endpoint("undeploy_model", "DELETE", "/v1/models/{name}", does.undeploy, "admin"),
        Endpoint("promote_model", "POST", "/v1/models/{name}/promote", does.promote, "admin"),
        Endpoint("livez", "GET", "/livez", does.livez),
        Endpoint("readyz", "GET", "/readyz", does.readyz),
        Endpoint("metrics", "GET", "/metrics", does.metrics),
    )


def _framework(service: Service, table: tuple[Endpoint, ...]) -> FastAPI:
    """Documentation, and a problem document for all that does not exist."""
    docs = service.settings.docs
    app = FastAPI(
        title="Sidearm",
        openapi_url="/openapi.json" if docs else None,
        docs_url="/docs" if docs else None,
        redoc_url=None,
    )
    document = document_of(table)
    app.openapi = lambda: document  # type: ignore[method-assign]  # FastAPI's own way to replace it

    @app.exception_handler(HTTPException)
    async def _refuse(_: FrameworkRequest, error: HTTPException) -> Response:
        return _response(http_problem(error.status_code, _PATHS if error.status_code == 404 else ""), error)

    return app


_PATHS = "no such path; /openapi.json lists those there are"


def _response(answer: HttpAnswer, error: HTTPException) -> Response:
    return Response(answer.body, answer.status, dict(error.headers or {}), answer.media_type)
