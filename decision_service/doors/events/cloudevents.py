"""CloudEvents 1.0 over HTTP: structured, binary and in batches."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from decision_service.api.rewards import RewardRequest
from decision_service.api.values import MAX_REWARDS
from decision_service.doors.events.meaning import key_of, meaning_of, time_of, worth
from decision_service.doors.events.taking import Read, take, take_all
from decision_service.doors.foreign import Operation, Visit
from decision_service.errors import BadRequest, FieldError, ServiceError, WrongMethod
from decision_service.problem import HttpAnswer, http_problem, problem_of
from decision_service.service import Service
from sidecar.contracts.application import Application

_STRUCTURED, _BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_FIELDS = ("decision_id", "session_id", "event", "reward", "arm", "reward_id")
"""Of the native request, that an event's data may hold."""
_encode = msgspec.json.Encoder().encode


class CloudEvent(Struct, frozen=True):
    """Those of its attributes that mean something here."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    data: Any = None
    data_base64: str | None = None


class CloudEvents:
    """The dialect of ``POST /v1/events``; it refuses as all of ``/v1`` does."""

    name = "cloudevents"
    prefix = b"/v1/"

    def __init__(self, service: Service) -> None:
        self._application, self._rewarder = service.application, service.rewarder
        most = service.settings.max_batch_body_bytes
        self._operation = Operation("cloudevents", "reward", self._take, most)

    def claims(self, path: bytes) -> bool:
        """One path."""
        return path == b"/v1/events"

    def find(self, visit: Visit) -> Operation:
        """The one operation.

        Raises:
            WrongMethod: it takes POST.
        """
        if visit.method != "POST":
            raise WrongMethod(("POST",))
        return self._operation

    def authorization(self, visit: Visit) -> str:
        """A bearer token."""
        return visit.header(b"authorization")

    def refusal(self, visit: Visit, error: BaseException) -> HttpAnswer:
        """A problem document."""
        return problem_of(error) if isinstance(error, ServiceError) else http_problem(500)

    async def _take(self, visit: Visit) -> HttpAnswer:
        kind = visit.header(b"content-type").partition(";")[0].strip().lower()
        if kind == _BATCH:
            events = _decoded(visit.body, list[CloudEvent])
            if len(events) > MAX_REWARDS:
                raise BadRequest(FieldError("", f"{len(events)} events; legal: at most {MAX_REWARDS}"))
            results = await take_all(self._rewarder, [(one.id, self._read(one)) for one in events])
            return HttpAnswer(202, _encode({"events": results}))
        event = _decoded(visit.body, CloudEvent) if kind == _STRUCTURED else _binary(visit, kind)
        return HttpAnswer(202, _encode(await take(self._rewarder, event.id, self._read(event))))

    def _read(self, event: CloudEvent) -> Read:
        return lambda: list(rewards_of(event, self._application))


def rewards_of(event: CloudEvent, application: Application) -> Iterator[RewardRequest]:
    """The reward that an event is; none where its type means nothing here.

    Raises:
        BadRequest: an attribute that must be there is not, or its data are no reward.
    """
    _check(event)
    meant = meaning_of(event.type, application)
    if meant is None:
        return
    data = _data_of(event)
    value = worth(meant, data, "/data")
    fields = {name: data[name] for name in _FIELDS if data.get(name) is not None}
    fields.setdefault("event", meant.event)
    fields.setdefault("reward_id", key_of(event.source, event.id))
    if value is not None:
        fields["reward"] = value
    if event.subject and not fields.keys() & {"decision_id", "session_id"}:
        fields["session_id"] = event.subject
    try:
        yield msgspec.convert({**fields, "occurred_at": time_of(event.time)}, RewardRequest)
    except msgspec.ValidationError as error:
        raise BadRequest(FieldError("/data", str(error))) from None


def _check(event: CloudEvent) -> None:
    if event.specversion != "1.0":
        raise BadRequest(FieldError("/specversion", f"{event.specversion!r}; legal: 1.0"))
    for name in ("id", "source", "type"):
        if not getattr(event, name):
            raise BadRequest(FieldError(f"/{name}", "required, and not empty"))


def _data_of(event: CloudEvent) -> Mapping[str, Any]:
    data = event.data
    if event.data_base64 is not None:
        try:
            data = msgspec.json.decode(base64.b64decode(event.data_base64, validate=True))
        except (binascii.Error, ValueError, RecursionError) as error:
            raise BadRequest(FieldError("/data_base64", f"no JSON in base64: {error}")) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise BadRequest(FieldError("/data", "legal: an object, such as a reward of ours has"))
    return data


def _binary(visit: Visit, kind: str) -> CloudEvent:
    """Attributes in headers, data in the body."""
    said = {
        name: unquote(visit.header(f"ce-{name}".encode()))
        for name in ("specversion", "id", "source", "type", "subject", "time")
    }
    if not said["specversion"]:
        legal = f"{_STRUCTURED}, {_BATCH}, or headers ce-specversion, ce-id, ce-source, ce-type"
        raise BadRequest(FieldError("", f"this is no CloudEvent; legal: {legal}"))
    if visit.body and not (kind == "application/json" or kind.endswith("+json")):
        raise BadRequest(FieldError("", f"data of {kind or 'no type'}; legal: application/json"))
    data = _decoded(visit.body, dict) if visit.body else None
    return CloudEvent(**{name: value for name, value in said.items() if value or name in _MUST}, data=data)


_MUST = ("specversion", "id", "source", "type")


def _decoded(body: bytes, kind: Any) -> Any:  # noqa: ANN401  # one of three forms, each checked by its type
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(FieldError("", str(error))) from None
