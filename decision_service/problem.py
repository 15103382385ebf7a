"""Every refusal as ``application/problem+json`` (RFC 9457), and the one table of HTTP statuses."""

from __future__ import annotations

import secrets
from http import HTTPStatus

import msgspec
from msgspec import Struct

from decision_service.api.problems import Problem, ProblemDetail
from decision_service.errors import (
    BadRequest,
    BodyTooLarge,
    KeyReused,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NothingEligible,
    NotReady,
    Outdated,
    Overloaded,
    ServiceError,
    SidecarFailed,
    SpoolFailed,
    StoreAway,
    TooSlow,
    WrongMethod,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
_SPREAD_S = 3  # those who were turned away together must not come back together

_STATUS: dict[type[ServiceError], HTTPStatus] = {
    BadRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooSlow: HTTPStatus.REQUEST_TIMEOUT,
    NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    NotAllowed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    WrongMethod: HTTPStatus.METHOD_NOT_ALLOWED,
    KeyReused: HTTPStatus.CONFLICT,
    SidecarFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    Outdated: HTTPStatus.CONFLICT,
    NothingEligible: HTTPStatus.UNPROCESSABLE_ENTITY,
    StoreAway: HTTPStatus.SERVICE_UNAVAILABLE,
    SpoolFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    Overloaded: HTTPStatus.TOO_MANY_REQUESTS,
}

_TITLES: dict[type[ServiceError], str] = {
    BadRequest: "The request breaks its schema",
    BodyTooLarge: "The body is too large",
    TooSlow: "The body came too slowly",
    NotAuthenticated: "No valid API key",
    NotAllowed: "The API key lacks the role",
    NotFound: "Not found",
    WrongMethod: "Method not allowed",
    KeyReused: "The key was used with another body",
    SidecarFailed: "The model container does not answer",
    Outdated: "Somebody else has changed it meanwhile",
    NothingEligible: "No arm is eligible",
    StoreAway: "The store does not answer",
    SpoolFailed: "Neither store nor spool can take it",
    NotReady: "Not ready",
    Overloaded: "Too many requests under way",
}


class HttpAnswer(Struct, frozen=True):
    """What goes back over HTTP: status, body, and headers as ASGI wants them."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: str = "application/json"


def problem_of(error: ServiceError) -> HttpAnswer:
    """The answer that ``error`` becomes."""
    kind = type(error)
    pointed = error.errors if isinstance(error, BadRequest) else ()
    return problem(
        _STATUS[kind],
        kind.__name__,
        _TITLES[kind],
        str(error),
        errors=[ProblemDetail(one.pointer, one.detail) for one in pointed],
        headers=_headers_of(error),
    )


def http_problem(status: int, detail: str = "") -> HttpAnswer:
    """A refusal of the framework's, which has only a status."""
    known = HTTPStatus(status)
    name = "".join(word.capitalize() for word in known.phrase.split())
    return problem(known, name, known.phrase, detail or known.description or known.phrase)


def problem(
    status: HTTPStatus,
    name: str,
    title: str,
    detail: str,
    *,
    errors: list[ProblemDetail] | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> HttpAnswer:
    """One problem document; ``name`` ends its type URI: the error as ``errors.py`` names it."""
    body = Problem(
        type=f"urn:sidearm:problem:{name}",
        title=title,
        status=int(status),
        detail=detail,
        errors=errors or [],
    )
    return HttpAnswer(int(status), msgspec.json.encode(body), headers, MEDIA_TYPE)


def _headers_of(error: ServiceError) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(error, NotAuthenticated):
        return ((b"www-authenticate", b"Bearer"),)
    if isinstance(error, BodyTooLarge | TooSlow):
        return ((b"connection", b"close"),)  # the rest of the body is not wanted
    if isinstance(error, Overloaded):
        return ((b"retry-after", str(RETRY_AFTER_S + secrets.randbelow(_SPREAD_S)).encode()),)
    if isinstance(error, StoreAway | SpoolFailed):
        return ((b"retry-after", str(RETRY_AFTER_S).encode()),)
    if isinstance(error, WrongMethod):
        return ((b"allow", ", ".join(error.allowed).encode()),)
    return ()
