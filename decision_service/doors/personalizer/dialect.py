"""Which operations there are, in which version, and which are done otherwise here."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping

from decision_service.doors.foreign import Operation, Visit
from decision_service.doors.personalizer.configuration import Configuration
from decision_service.doors.personalizer.ranking import Ranker
from decision_service.doors.personalizer.refusals import NotOffered, Refused, refusal_of
from decision_service.doors.personalizer.telling import Teller
from decision_service.errors import NotFound
from decision_service.problem import HttpAnswer
from decision_service.service import Service

Handle = Callable[[Visit], Awaitable[HttpAnswer]]
Path = tuple[str, ...]

FIRST = "v1.0"
PREVIEWS = ("v1.1", "v1.1-preview.1", "v1.1-preview.2", "v1.1-preview.3")
LATEST = "2022-09-01-preview"

_ELSEWHERE: Mapping[str, tuple[tuple[str, ...], str]] = {
    "configurations/service": (("PUT",), "it is set in app.toml, exploration by PUT /v1/exploration"),
    "configurations/policy": (("GET", "PUT", "DELETE"), "[model] in app.toml holds the learning settings"),
    "configurations/applyFromEvaluation": (("POST",), "`sidearm models` promotes and rolls back"),
    "evaluations": (("GET", "POST"), "`sidearm evaluate` evaluates"),
    "evaluations/*": (("GET", "PUT", "DELETE"), "`sidearm evaluate` evaluates"),
    "featureImportances": (("GET",), "/v1/decisions/{id}/explanation tells what features add"),
    "featureImportances/*": (("GET", "PUT", "DELETE"), "/v1/decisions/{id}/explanation tells that"),
    "model": (("GET", "PUT", "DELETE"), "`sidearm models export` and `import` do that"),
    "model/properties": (("GET",), "GET /v1/models tells them"),
    "logs": (("DELETE",), "`sidearm log retain` and `forget` do that"),
    "logs/properties": (("GET",), "`sidearm log files` lists them"),
    "logs/interactions": (("POST",), "decisions are logged by the service itself"),
    "logs/observations": (("POST",), "send rewards instead"),
}
"""By path: the methods that Personalizer has there, and what to do here."""


class Personalizer:
    """The dialect of Azure Personalizer."""

    name = "personalizer"
    prefix = b"/personalizer/"

    def __init__(self, service: Service) -> None:
        self._operations = _operations(service)

    def claims(self, path: bytes) -> bool:
        """All below the prefix."""
        return True

    def find(self, visit: Visit) -> Operation:
        """The operation of that version.

        Raises:
            NotFound: there is none such.
            Refused: no version, or one that there never was.
        """
        version, path = _version_of(visit)
        pattern = "/".join(_starred(path))
        answered = self._operations.get((visit.method, pattern))
        if answered is not None and not (version == FIRST and pattern.startswith("multislot/")):
            return answered
        methods, hint = _ELSEWHERE.get(pattern, ((), ""))
        if visit.method not in methods:
            raise NotFound("")

        async def refuse(_: Visit) -> HttpAnswer:
            raise NotOffered(f"Not by this door: {hint}.")

        return Operation("personalizer_elsewhere", "decide", refuse)

    def authorization(self, visit: Visit) -> str:
        """``Ocp-Apim-Subscription-Key``, or a bearer token."""
        key = visit.header(b"ocp-apim-subscription-key").strip()
        return f"Bearer {key}" if key else visit.header(b"authorization")

    def refusal(self, visit: Visit, error: BaseException) -> HttpAnswer:
        """With the code of the operation, where the request is at fault."""
        return refusal_of(error, _code_of(visit.parts[-1]), tell_code="api-version" in visit.query)


def _code_of(last: str) -> str:
    codes = {
        "rank": "InvalidRankRequest",
        "reward": "InvalidRewardRequest",
        "activate": "InvalidEventIdToActivate",
    }
    return codes.get(last, "BadRequest")


def _version_of(visit: Visit) -> tuple[str, Path]:
    """The version, and the path behind it.

    Raises:
        Refused: a version by query that there never was, or none.
        NotFound: likewise by path.
    """
    first, *rest = visit.parts
    if first == FIRST or first in PREVIEWS:
        return first, tuple(rest)
    if first[:1] == "v" and first[1:2].isdigit():
        raise NotFound(f"There is no version {first} here: {FIRST}, {', '.join(PREVIEWS)}.")
    said = visit.query.get("api-version", "")
    if said != LATEST:
        raise Refused(
            "BadRequest", f"api-version is {said or 'missing'}: {LATEST} is spoken here.", "api-version"
        )
    return LATEST, visit.parts


def _starred(path: Path) -> Path:
    """With a star for an id."""
    for before in ("events", "evaluations", "featureImportances"):
        if before in path[:-1]:
            place = path.index(before) + 1
            return (*path[:place], "*", *path[place + 1 :])
    return path


def _fresh_id() -> str:
    return uuid.uuid4().hex


def _operations(service: Service) -> dict[tuple[str, str], Operation]:
    application, most = service.application, service.settings.max_body_bytes
    ranker = Ranker(service.asking, _fresh_id)
    teller = Teller(
        service.rewarder,
        service.activator,
        service.scripts,
        service.spool,
        application.name,
        application.partitions,
        _fresh_id,
    )
    shown = Configuration(application, lambda: service.explorer.everywhere).show
    return {
        ("POST", "rank"): Operation("personalizer_rank", "decide", ranker.rank, most, ranker.rank_at_once),
        ("POST", "events/*/reward"): Operation("personalizer_reward", "reward", teller.reward, most),
        ("POST", "events/*/activate"): Operation("personalizer_activate", "decide", teller.activate),
        ("POST", "multislot/rank"): Operation("personalizer_rank_slots", "decide", ranker.rank_slots, most),
        ("POST", "multislot/events/*/reward"): Operation(
            "personalizer_reward_slots", "reward", teller.reward_slots, most
        ),
        ("POST", "multislot/events/*/activate"): Operation(
            "personalizer_activate_slots", "decide", teller.activate
        ),
        ("GET", "configurations/service"): Operation("personalizer_configuration", "read", shown),
    }
