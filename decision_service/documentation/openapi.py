"""The document (OpenAPI 3.1), made of the table of endpoints and the structures of the API."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import msgspec

from decision_service.api.problems import Problem
from decision_service.documentation.of_arms import OF_ARMS
from decision_service.documentation.of_decisions import OF_DECISIONS
from decision_service.documentation.of_operation import OF_OPERATION
from decision_service.documentation.operation import DECISION_ID, Json, Operation
from decision_service.endpoint import Endpoint
from decision_service.problem import MEDIA_TYPE

OPERATIONS = {**OF_DECISIONS, **OF_ARMS, **OF_OPERATION}
_REF = "#/components/schemas/{name}"


def document_of(endpoints: Iterable[Endpoint]) -> Json:
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
        example = "sku-2" if name == "arm_id" else DECISION_ID
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
    return {"description": known.phrase, "content": {MEDIA_TYPE: _typed(Problem, None)}}


def _typed(kind: type, example: Json | None) -> Json:
    found: Json = {"schema": {"$ref": _REF.format(name=kind.__name__)}}
    if example is not None:
        found["example"] = example
    return found


def _schemas() -> Json:
    kinds = [said.request for said in OPERATIONS.values()] + [said.answer for said in OPERATIONS.values()]
    _, found = msgspec.json.schema_components(
        [kind for kind in kinds if kind is not None] + [Problem], ref_template=_REF
    )
    return dict(found)
