"""The application: its table of endpoints, what each does with a request, and FastAPI around them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request as FrameworkRequest
from starlette.responses import Response

from decision_service.api.arms import ArmFeatures, ArmPatch, ArmsRequest
from decision_service.api.problems import Health
from decision_service.api.recommendations import ActivationRequest, RecommendationRequest
from decision_service.api.rewards import RewardBatch, RewardReceipts, RewardRequest
from decision_service.batch import RecommendationBatch, decide_all
from decision_service.batcher import Batcher
from decision_service.decide import decide
from decision_service.decoding import decode
from decision_service.documentation.openapi import document_of
from decision_service.door import Door, Endpoint, Request
from decision_service.errors import BadRequest, FieldError, NotReady
from decision_service.exploration_desk import ExplorationRequest
from decision_service.model_admin import ModelChange, ModelRequest
from decision_service.problem import HttpAnswer, http_problem
from decision_service.service import Service

_encode = msgspec.json.Encoder().encode
_recommendation = msgspec.json.Decoder(RecommendationRequest)
_recommendations = msgspec.json.Decoder(RecommendationBatch)
_reward = msgspec.json.Decoder(RewardRequest)
_rewards = msgspec.json.Decoder(RewardBatch)
_arms = msgspec.json.Decoder(ArmsRequest)
_arm = msgspec.json.Decoder(ArmFeatures)
_patch = msgspec.json.Decoder(ArmPatch)
_activation = msgspec.json.Decoder(ActivationRequest)
_exploration = msgspec.json.Decoder(ExplorationRequest)

_model = msgspec.json.Decoder(ModelRequest)
_model_change = msgspec.json.Decoder(ModelChange)

_MAX_KEY = 256
_PROBES = 1024


def make_app(service: Service) -> Door:
    """The ASGI application over an open service."""
    settings = service.settings
    table = endpoints(service)
    return Door(
        table,
        _framework(service, table),
        service.keyring,
        service.telemetry,
        settings.body_timeout_s,
        service.admission,
        lambda: service.stopping,
    )


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """Every endpoint of ours: name, method, path, what it does, who may, how long its body may be."""
    small, large = service.settings.max_body_bytes, service.settings.max_batch_body_bytes
    does = _Handlers(service)
    return (
        Endpoint("recommend", "POST", "/v1/recommendations", does.recommend, "decide", small),
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


class _Handlers:
    """From bytes to bytes, one method an endpoint.

    Scrapes need no key, so those that come together share one look at the store: nobody's curiosity takes
    the connections that deciding needs.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._scrapes = Batcher(self._scrape, max_batch=_PROBES)

    async def recommend(self, request: Request) -> HttpAnswer:
        """The hot path: see ``decide.py``."""
        service, asked, started_s = self._service, decode(_recommendation, request.body), time.perf_counter()
        answer = await decide(service.decider, asked)
        deadline_ms = asked.deadline_ms or service.settings.deadline_ms
        service.admission.answered(time.perf_counter() - started_s, deadline_ms / 1000)
        return HttpAnswer(201, _encode(answer))

    async def recommend_batch(self, request: Request) -> HttpAnswer:
        batch = decode(_recommendations, request.body)
        return HttpAnswer(200, _encode(await decide_all(partial(decide, self._service.decider), batch)))

    async def reward(self, request: Request) -> HttpAnswer:
        reward = decode(_reward, request.body)
        receipts = await self._service.rewarder.take([reward], _idempotency_key(request), lambda _: "")
        return HttpAnswer(202, _encode(receipts[0]))

    async def reward_batch(self, request: Request) -> HttpAnswer:
        batch = decode(_rewards, request.body)
        receipts = await self._service.rewarder.take(
            batch.rewards, _idempotency_key(request), lambda place: f"/rewards/{place}"
        )
        return HttpAnswer(202, _encode(RewardReceipts(rewards=receipts)))

    async def activate(self, request: Request) -> HttpAnswer:
        """Without a body the decision's end stays what it is."""
        asked = decode(_activation, request.body) if request.body else ActivationRequest()
        return HttpAnswer(200, _encode(await self._service.activator.activate(request.argument, asked)))

    async def decision(self, request: Request) -> HttpAnswer:
        return HttpAnswer(200, _encode(await self._service.decisions.look_up(request.argument)))

    async def explain(self, request: Request) -> HttpAnswer:
        return HttpAnswer(200, _encode(await self._service.explanations.explain(request.argument)))

    async def exploration(self, request: Request) -> HttpAnswer:
        return HttpAnswer(200, _encode(await self._service.exploration.look()))

    async def explore(self, request: Request) -> HttpAnswer:
        asked = decode(_exploration, request.body)
        return HttpAnswer(200, _encode(await self._service.exploration.replace(asked)))

    async def models(self, request: Request) -> HttpAnswer:
        return HttpAnswer(200, _encode(await self._service.models.look()))

    async def arms(self, request: Request) -> HttpAnswer:
        return HttpAnswer(200, _encode(await self._service.arms.view()))

    async def change_arms(self, request: Request) -> HttpAnswer:
        return HttpAnswer(200, _encode(await self._service.arms.change(decode(_arms, request.body))))

    async def put_arm(self, request: Request) -> HttpAnswer:
        given = decode(_arm, request.body)
        return HttpAnswer(200, _encode(await self._service.arms.put(request.argument, given)))

    async def patch_arm(self, request: Request) -> HttpAnswer:
        given = decode(_patch, request.body)
        return HttpAnswer(200, _encode(await self._service.arms.patch(request.argument, given)))

    async def retire_arm(self, request: Request) -> HttpAnswer:
        return HttpAnswer(200, _encode(await self._service.arms.retire(request.argument)))

    async def deploy(self, request: Request) -> HttpAnswer:
        asked = decode(_model, request.body)
        return HttpAnswer(200, _encode(await self._service.model_admin.deploy(request.argument, asked)))

    async def alter(self, request: Request) -> HttpAnswer:
        asked = decode(_model_change, request.body)
        return HttpAnswer(200, _encode(await self._service.model_admin.alter(request.argument, asked)))

    async def undeploy(self, request: Request) -> HttpAnswer:
        return HttpAnswer(200, _encode(await self._service.model_admin.undeploy(request.argument)))

    async def promote(self, request: Request) -> HttpAnswer:
        return HttpAnswer(200, _encode(await self._service.model_admin.promote(request.argument)))

    async def livez(self, request: Request) -> HttpAnswer:
        return HttpAnswer(200, _encode(Health(status="ok")))

    async def readyz(self, request: Request) -> HttpAnswer:
        """Without the sidecar the backstop answers, without the store the spool takes what is decided."""
        if not self._service.ready:
            raise NotReady("it is being stopped" if self._service.stopping else "the store was not seen yet")
        return HttpAnswer(200, _encode(Health(status="ok")))

    async def metrics(self, request: Request) -> HttpAnswer:
        text = await self._scrapes.ask(None)
        return HttpAnswer(200, text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _scrape(self, probes: Sequence[None]) -> list[bytes]:
        return [await self._service.all_figures()] * len(probes)


def _idempotency_key(request: Request) -> str:
    key = request.header(b"idempotency-key").strip()
    if len(key) > _MAX_KEY or not key.isprintable():
        raise BadRequest(FieldError("", f"Idempotency-Key: legal: at most {_MAX_KEY} printable characters"))
    return key


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
