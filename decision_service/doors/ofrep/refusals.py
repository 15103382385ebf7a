"""How OFREP says no: a code that clients know, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from decision_service.errors import BadRequest, NothingEligible, ServiceError
from decision_service.problem import HttpAnswer, problem_of


class Unevaluated(ServiceError):
    """A flag that cannot be evaluated."""

    status = 400
    code = "GENERAL"


class NotParsed(Unevaluated):
    """The body is none."""

    code = "PARSE_ERROR"


class NoTarget(Unevaluated):
    """Nobody is named."""

    code = "TARGETING_KEY_MISSING"


class BadContext(Unevaluated):
    """A context that cannot be used."""

    code = "INVALID_CONTEXT"


class NoFlag(Unevaluated):
    """There is no such flag."""

    status = 404
    code = "FLAG_NOT_FOUND"


def refusal_of(error: BaseException, key: str) -> HttpAnswer:
    """What is answered about the flag ``key``; empty: about all of them."""
    if isinstance(error, Unevaluated):
        return HttpAnswer(error.status, _body(key, error.code, str(error)))
    if isinstance(error, BadRequest):
        return HttpAnswer(400, _body(key, BadContext.code, str(error)))
    if isinstance(error, NothingEligible):
        return HttpAnswer(400, _body(key, Unevaluated.code, str(error)))
    if not isinstance(error, ServiceError):
        return HttpAnswer(500, _encode({"errorDetails": "it failed; the service's log has more"}))
    native = problem_of(error)
    return HttpAnswer(native.status, _encode({"errorDetails": str(error)}), native.headers)


def failure_of(error: ServiceError, key: str) -> Mapping[str, str]:
    """A flag that could not be evaluated, among others that could."""
    code = error.code if isinstance(error, Unevaluated) else Unevaluated.code
    return {"key": key, "errorCode": code, "errorDetails": str(error)}


def _body(key: str, code: str, details: str) -> bytes:
    return _encode(({"key": key} if key else {}) | {"errorCode": code, "errorDetails": details})


def _encode(body: object) -> bytes:
    return msgspec.json.encode(body)
