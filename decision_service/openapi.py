"""The API's documentation (OpenAPI 3.1), made of the table of endpoints and the structures of ``api.py``."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from decision_service import api
from decision_service.batch import RecommendationBatch, RecommendationResults
from decision_service.door import Endpoint
from decision_service.exploration_desk import ExplorationRequest, ExplorationView
from decision_service.model_admin import ModelChange, ModelRequest
from decision_service.model_desk import ModelsView
from decision_service.problem import MEDIA_TYPE

Json = dict[str, Any]

_REF = "#/components/schemas/{name}"


class Operation(Struct, frozen=True):
    """What the documentation says of one endpoint, beyond its row in the table."""

    summary: str
    description: str
    tag: str
    status: int
    answer: type | None
    """None: plain text."""
    example: Json | None = None
    """Of the answer."""
    request: type | None = None
    request_example: Json | None = None
    refusals: tuple[int, ...] = ()
    """Statuses beside those that every endpoint of its kind has."""
    idempotency_key: bool = False
    optional_body: bool = False


_DECISION_ID = "3-18bcfe56800a1b2c3d4e5f60718"
_RECEIPT: Json = {"status": "accepted", "decision_id": _DECISION_ID, "reward_id": "order-77"}
_REWARD: Json = {"decision_id": _DECISION_ID, "event": "purchase", "reward_id": "order-77"}
_CHANGED: Json = {"version": "5b0f6f5fd0c6a1de", "before": "1c9f2c8e0f7a4b11", "arms": 20}
_RANKED: Json = {"arm": "sku-2", "probability": 0.91, "score": 0.12}

OPERATIONS: dict[str, Operation] = {
    "recommend": Operation(
        "Recommend an arm for a session",
        "The decision is in the log when the answer arrives. Asking again with the same `decision_id` gives "
        "the same decision (`source` is `repeat`); with another body under that key, 409.",
        "decisions",
        201,
        api.Recommendation,
        {
            "decision_id": _DECISION_ID,
            "session_id": "s-42",
            "arm": "sku-2",
            "probability": 0.91,
            "ranking": [_RANKED],
            "source": "model",
            "policy": "champion",
            "model_version": 1234,
            "logged": True,
            "reward_until": "2026-01-01T12:30:00.000Z",
        },
        api.RecommendationRequest,
        {
            "session_id": "s-42",
            "context": {"device": "ios", "hour": 21, "returning": True},
            "arms": ["sku-1", {"id": "sku-2", "features": {"price": 12.5}}],
            "exclude": ["sku-9"],
        },
        refusals=(408, 409, 413, 422),
    ),
    "recommend_batch": Operation(
        "Up to 500 recommendations in one call",
        "Each is decided and logged as if it came alone, and has a result: a recommendation or a problem.",
        "decisions",
        200,
        RecommendationResults,
        request=RecommendationBatch,
        request_example={"requests": [{"session_id": "s-1"}, {"session_id": "s-2", "limit": 3}]},
        refusals=(408, 413, 422),
    ),
    "reward": Operation(
        "Say what came of a decision",
        "A reward that is late, early, repeated or for nobody is no error: it is kept, and `status` says so.",
        "rewards",
        202,
        api.RewardReceipt,
        _RECEIPT,
        api.RewardRequest,
        _REWARD,
        refusals=(408, 413, 422),
        idempotency_key=True,
    ),
    "reward_batch": Operation(
        "Up to 1,000 rewards in one call",
        "All of them are taken, or, when one breaks the schema, none.",
        "rewards",
        202,
        api.RewardReceipts,
        {"rewards": [_RECEIPT]},
        api.RewardBatch,
        {"rewards": [_REWARD]},
        refusals=(408, 413, 422),
        idempotency_key=True,
    ),
    "activate": Operation(
        "Say that a deferred decision was shown",
        "From now on it counts: it is learnt from, with the rewards that it has and those that still come. "
        "Never activated, it is in the log and not learnt from. Again is no harm.",
        "decisions",
        200,
        api.ActivationReceipt,
        {
            "status": "activated",
            "decision_id": _DECISION_ID,
            "reward_until": "2026-01-01T12:30:00.000Z",
        },
        api.ActivationRequest,
        {"horizon_s": 1800.0},
        refusals=(408, 413, 422),
        optional_body=True,
    ),
    "decision": Operation(
        "Look a decision up",
        "What was decided, why, and what came of it: while it is pending, and for a time after.",
        "decisions",
        200,
        api.DecisionView,
        refusals=(404,),
    ),
    "explain": Operation(
        "Why this arm?",
        "What each feature and each product of features adds to the score of the chosen arm and of the "
        "runner-up; and whether the score is why: what exploration drew is named as such.",
        "decisions",
        200,
        api.ExplanationView,
        refusals=(404,),
    ),
    "exploration": Operation(
        "How does the application explore?",
        "Everywhere, and in segments of its traffic, as it is in the store.",
        "operation",
        200,
        ExplorationView,
    ),
    "explore": Operation(
        "Change how the application explores",
        "All of it is replaced in one step; every replica follows within a second. A decision logs how it "
        "explored, so that nothing of the past changes.",
        "operation",
        200,
        ExplorationView,
        request=ExplorationRequest,
        request_example={
            "everywhere": {"scheme": "squarecb", "gamma": 40.0, "floor": 0.001},
            "segments": [{"name": "new", "where": {"returning": [False]}, "exploration": {"epsilon": 0.3}}],
        },
        refusals=(408, 409, 413, 422),
    ),
    "models": Operation(
        "Which models score, what do they earn, and how do they stand?",
        "Every model with its role, its progressive AUC and the reward of its policy; how challengers and "
        "shadows stand, with an interval that holds whenever it is looked at; and who took whose place.",
        "operation",
        200,
        ModelsView,
    ),
    "arms": Operation(
        "The catalogue",
        "The arms, which version is current, and which one each service of the application decides with.",
        "arms",
        200,
        api.ArmsView,
    ),
    "change_arms": Operation(
        "Change several arms at once",
        "Added, replaced, re-priced, retired: as one new version, which every service decides with within a "
        "second. Decisions that were made stay as they are, with the version that they name.",
        "arms",
        200,
        api.ArmsChanged,
        _CHANGED,
        api.ArmsRequest,
        {
            "put": [{"id": "sku-3", "features": {"price": 9.5}}],
            "change": [{"id": "sku-2", "features": {"price": 11.0, "new": None}}],
            "retire": ["sku-1"],
            "reason": "summer sale",
        },
        refusals=(408, 409, 413, 422),
    ),
    "put_arm": Operation(
        "Add an arm, or replace it",
        "A new one comes last, one that is there keeps its place.",
        "arms",
        200,
        api.ArmsChanged,
        _CHANGED,
        api.ArmFeatures,
        {"features": {"price": 9.5, "kind": "shoe"}},
        refusals=(408, 409, 413, 422),
    ),
    "patch_arm": Operation(
        "Change some features of an arm",
        "Such as its price; null takes one away, those that are not named stay.",
        "arms",
        200,
        api.ArmsChanged,
        _CHANGED,
        api.ArmPatch,
        {"features": {"price": 8.0}},
        refusals=(404, 408, 409, 413, 422),
    ),
    "retire_arm": Operation(
        "Retire an arm",
        "It is not shown any more. The last one cannot be retired.",
        "arms",
        200,
        api.ArmsChanged,
        _CHANGED,
        refusals=(404, 409, 422),
    ),
    "deploy_model": Operation(
        "Deploy a model, or put another under its name",
        "Every replica follows within a second. A new champion's predecessor stays as a challenger without a "
        "share. `version` must be one that is kept: `sidearm models list` shows them.",
        "operation",
        200,
        ModelsView,
        request=ModelRequest,
        request_example={"role": "challenger", "version": "1234", "share": 0.1},
        refusals=(408, 409, 413, 422),
    ),
    "change_model": Operation(
        "Change a model's share, priority or wait",
        "What is left out stays.",
        "operation",
        200,
        ModelsView,
        request=ModelChange,
        request_example={"share": 0.2},
        refusals=(404, 408, 413, 422),
    ),
    "undeploy_model": Operation(
        "Undeploy a model",
        "It scores nothing any more; what it decided stays. The champion cannot be undeployed.",
        "operation",
        200,
        ModelsView,
        refusals=(404, 422),
    ),
    "promote_model": Operation(
        "Make a model the champion",
        "The one before stays as a challenger without a share.",
        "operation",
        200,
        ModelsView,
        refusals=(404, 422),
    ),
    "livez": Operation("Is the process alive?", "Touches nothing else.", "operation", 200, api.Health),
    "readyz": Operation(
        "Can it decide?", "503 while it starts, and while it is being stopped.", "operation", 200, api.Health
    ),
    "metrics": Operation("Figures for Prometheus", "The books among them.", "operation", 200, None),
}


def document(endpoints: Iterable[Endpoint]) -> Json:
    """The whole document."""
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, OPERATIONS[endpoint.name])
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sidearm",
            "version": "1",
            "description": "Contextual-bandit recommendations with honest logs. Every 4xx and 5xx is "
            "RFC 9457 `application/problem+json`.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "`sk_…`"}},
        },
    }


def _operation(endpoint: Endpoint, said: Operation) -> Json:
    refusals = {*said.refusals, *((401, 403, 429, 503) if endpoint.role else ()), 500}
    if endpoint.name == "readyz":
        refusals.add(503)
    found: Json = {
        "operationId": endpoint.name,
        "summary": said.summary,
        "description": said.description + (f" Needs the role `{endpoint.role}`." if endpoint.role else ""),
        "tags": [said.tag],
        "security": [{"key": []}] if endpoint.role else [],
        "responses": {str(said.status): _answer(said), **{str(s): _refusal(s) for s in sorted(refusals)}},
    }
    if parameters := _parameters(endpoint, said):
        found["parameters"] = parameters
    if said.request is not None:
        content = {"application/json": _typed(said.request, said.request_example)}
        found["requestBody"] = {"required": not said.optional_body, "content": content}
    return found


def _parameters(endpoint: Endpoint, said: Operation) -> list[Json]:
    part, key = {"type": "string", "minLength": 1}, {"type": "string", "maxLength": 256}
    found: list[Json] = []
    if "{" in endpoint.path:
        name = endpoint.path.partition("{")[2].partition("}")[0]
        example = "sku-2" if name == "arm_id" else _DECISION_ID
        found.append({"name": name, "in": "path", "required": True, "schema": part, "example": example})
    if said.idempotency_key:
        found.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": key})
    return found


def _answer(said: Operation) -> Json:
    if said.answer is None:
        return {"description": said.summary, "content": {"text/plain": {"schema": {"type": "string"}}}}
    content = {"application/json": _typed(said.answer, said.example)}
    return {"description": said.summary, "content": content}


def _refusal(status: int) -> Json:
    known = HTTPStatus(status)
    return {"description": known.phrase, "content": {MEDIA_TYPE: _typed(api.Problem, None)}}


def _typed(kind: type, example: Json | None) -> Json:
    found: Json = {"schema": {"$ref": _REF.format(name=kind.__name__)}}
    if example is not None:
        found["example"] = example
    return found


def _schemas() -> Json:
    kinds = [said.request for said in OPERATIONS.values()] + [said.answer for said in OPERATIONS.values()]
    _, found = msgspec.json.schema_components(
        [kind for kind in kinds if kind is not None] + [api.Problem], ref_template=_REF
    )
    return dict(found)
