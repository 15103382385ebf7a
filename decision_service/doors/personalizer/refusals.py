"""How Personalizer refuses: its codes, statuses and body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from decision_service.errors import (
    BadRequest,
    BodyTooLarge,
    KeyReused,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NothingEligible,
    NotReady,
    Overloaded,
    ServiceError,
    SpoolFailed,
    StoreAway,
    TooSlow,
)
from decision_service.problem import HttpAnswer, problem_of

Said = tuple[int, str, str]

_NOT_NOW = (503, "OperationNotAllowed", "This operation is not allowed at this time.")
_NO_ACCESS = (403, "InvalidApiAccess", "Api is currently disabled for the instance.")
_SAID: Mapping[type[BaseException], Said] = {
    BodyTooLarge: (400, "PayloadSizeExceeded", "Exceeds maximum allowed payload size."),
    TooSlow: (408, "RequestTimeout", "The task was canceled."),
    NotAuthenticated: (401, "401", "Access denied due to invalid subscription key or wrong API endpoint."),
    NotAllowed: _NO_ACCESS,
    NotFound: (404, "ResourceNotFound", "Requested resource does not exist on the server."),
    StoreAway: _NOT_NOW,
    SpoolFailed: _NOT_NOW,
    NotReady: _NOT_NOW,
    Overloaded: (429, "429", "Too many requests are under way."),
}
_KEYS_PLACE = "A key of this service belongs into the header Ocp-Apim-Subscription-Key."
_FAILED = (500, "InternalServerError", "A generic error has occurred on the server.")
_MESSAGES = {
    "BadRequest": "Request could not be understood by the server.",
    "InvalidRankRequest": "Invalid request.",
    "InvalidRewardRequest": "Invalid reward request.",
    "InvalidEventIdToActivate": "Invalid activate event request.",
}


class Refused(ServiceError):
    """A request that Personalizer would refuse: with its code, and what is wrong in a sentence."""

    def __init__(self, code: str, sentence: str, target: str = "") -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.target = code, sentence, target


class NotOffered(ServiceError):
    """An operation of Personalizer's that is done otherwise here."""


def refusal_of(error: BaseException, code: str, *, tell_code: bool) -> HttpAnswer:
    """What is answered.

    Args:
        error: why.
        code: of the operation, for what its request has at fault.
        tell_code: in a header, too, as the version of 2022 does.
    """
    if isinstance(error, Refused):
        return _answer((400, error.code, _MESSAGES[error.code]), error.sentence, error.target, tell_code)
    if isinstance(error, NotOffered):
        return _answer(_NO_ACCESS, str(error), "", tell_code)
    if type(error) in _SAID:
        sentence = _KEYS_PLACE if isinstance(error, NotAuthenticated) else str(error)
        return _answer(_SAID[type(error)], sentence, "", tell_code, _headers(error))
    if isinstance(error, BadRequest):
        at = error.errors[0].pointer if error.errors else ""
        return _answer((400, code, _MESSAGES[code]), str(error), at, tell_code)
    if isinstance(error, NothingEligible | KeyReused):
        return _answer((400, code, _MESSAGES[code]), str(error), "", tell_code)
    return _answer(_FAILED, "", "", tell_code)


def _headers(error: BaseException) -> tuple[tuple[bytes, bytes], ...]:
    return problem_of(error).headers if isinstance(error, ServiceError) else ()


def _answer(
    said: Said, sentence: str, target: str, tell_code: bool, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> HttpAnswer:
    status, code, message = said
    error: dict[str, Any] = {"code": code, "message": f"{message} {sentence}".strip()}
    if target:
        error["target"] = target
    told = ((b"x-ms-error-code", code.encode()),) if tell_code else ()
    return HttpAnswer(status, msgspec.json.encode({"error": error}), headers + told)
