"""What trackers send that speak Segment's HTTP API: ``track``, one by one or in batches."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from decision_service.api.rewards import RewardRequest
from decision_service.doors.events.meaning import key_of, meaning_of, time_of, worth
from decision_service.doors.events.taking import EventResult, Read, take_all
from decision_service.doors.foreign import Operation, Visit
from decision_service.errors import BadRequest, BodyTooLarge, FieldError, ServiceError, WrongMethod
from decision_service.problem import HttpAnswer, problem_of
from decision_service.service import Service
from sidecar.contracts.application import Application

_ONE = frozenset({"track", "identify", "page", "screen", "group", "alias"})
_MANY = frozenset({"batch", "import"})
_MOST = 2_000
_encode = msgspec.json.Encoder().encode

Properties = Mapping[str, Any]


class Tracked(Struct, frozen=True, rename="camel"):
    """A message; unknown fields are passed over, since trackers send many."""

    type: str = "track"
    event: str | None = None
    user_id: str | int | None = None
    anonymous_id: str | int | None = None
    message_id: str | None = None
    timestamp: Any = None
    properties: dict[str, Any] | None = None


class Batch(Struct, frozen=True):
    """Many of them."""

    batch: list[Tracked]


class Segment:
    """The dialect of trackers: a write key is one of ours, by Basic authentication or as a bearer token."""

    name = "segment"
    prefix = b"/v1/"

    def __init__(self, service: Service) -> None:
        self._application, self._rewarder = service.application, service.rewarder
        self._most = service.settings.max_batch_body_bytes
        self._paths = {b"/v1/" + name.encode() for name in (*_ONE, *_MANY)}

    def claims(self, path: bytes) -> bool:
        """Its calls."""
        return path in self._paths

    def find(self, visit: Visit) -> Operation:
        """One or many.

        Raises:
            WrongMethod: they take POST.
        """
        if visit.method != "POST":
            raise WrongMethod(("POST",))
        many = visit.parts[-1] in _MANY
        name = "segment_batch" if many else f"segment_{'track' if visit.parts[-1] == 'track' else 'other'}"
        return Operation(name, "reward", self._take_many if many else self._take_one, self._most)

    def authorization(self, visit: Visit) -> str:
        """The user's name of Basic authentication is the key."""
        said = visit.header(b"authorization")
        scheme, _, encoded = said.partition(" ")
        if scheme.lower() != "basic":
            return said
        try:
            return f"Bearer {base64.b64decode(encoded, validate=True).decode().partition(':')[0]}"
        except (binascii.Error, UnicodeDecodeError):
            return ""

    def refusal(self, visit: Visit, error: BaseException) -> HttpAnswer:
        """With the code and the message that trackers look for."""
        if not isinstance(error, ServiceError):
            return HttpAnswer(500, _encode({"success": False, "code": "internal", "message": "it failed"}))
        native = problem_of(error)
        status = 400 if native.status == 422 else native.status
        body = {"success": False, "code": type(error).__name__, "message": str(error)}
        return HttpAnswer(status, _encode(body), native.headers)

    async def _take_one(self, visit: Visit) -> HttpAnswer:
        message = _decoded(self._body(visit), Tracked)
        message = msgspec.structs.replace(message, type=visit.parts[-1])
        [result] = await self._take([message])
        if result.status == "refused":
            raise BadRequest(FieldError("", str(result.detail)))
        return HttpAnswer(200, _encode({"success": True, "status": result.status}))

    async def _take_many(self, visit: Visit) -> HttpAnswer:
        """A message at fault is told of, and does not make the tracker send all of them again."""
        messages = _decoded(self._body(visit), Batch).batch
        if len(messages) > _MOST:
            raise BadRequest(FieldError("/batch", f"{len(messages)} messages; legal: at most {_MOST}"))
        results = await self._take(messages)
        refused = [(n, str(one.detail)) for n, one in enumerate(results) if one.status == "refused"]
        told = [{"message": number, "detail": detail} for number, detail in refused]
        return HttpAnswer(200, _encode({"success": True, "refused": told}))

    async def _take(self, messages: Sequence[Tracked]) -> list[EventResult]:
        return await take_all(self._rewarder, [(one.message_id or "", self._read(one)) for one in messages])

    def _read(self, message: Tracked) -> Read:
        return lambda: list(rewards_of(message, self._application))

    def _body(self, visit: Visit) -> bytes:
        """Unpacked, as far as a body may be long."""
        if visit.header(b"content-encoding").strip().lower() != "gzip":
            return visit.body
        unpacker = zlib.decompressobj(31)
        try:
            body = unpacker.decompress(visit.body, self._most + 1)
        except zlib.error as error:
            raise BadRequest(FieldError("", f"the body is not gzip: {error}")) from None
        if len(body) > self._most:
            raise BodyTooLarge(self._most)
        return body


def rewards_of(message: Tracked, application: Application) -> Iterator[RewardRequest]:
    """The rewards that a message is: none, one, or one a product where arms have rewards of their own.

    Raises:
        BadRequest: it is one, and names nobody, or lacks its value.
    """
    meant = meaning_of(message.event or "", application) if message.type == "track" else None
    if meant is None:
        return
    said: Properties = message.properties or {}
    value, key = worth(meant, said, "/properties"), _key(message, meant.event, said)
    visitor = message.user_id if message.user_id not in (None, "") else message.anonymous_id
    session = said.get("session_id") or visitor
    common = {"decision_id": said.get("decision_id"), "session_id": None if session is None else str(session)}
    common |= {"event": meant.event, "occurred_at": time_of(message.timestamp)}
    arms = list(dict.fromkeys(_products(said)))
    if application.reward.attribution == "arm" and len(arms) > 1 and value is None:
        for arm in arms:
            yield _reward({**common, "arm": arm, "reward_id": key and key_of(key, arm)})
        return
    yield _reward({**common, "reward": value, "arm": arms[0] if len(arms) == 1 else None, "reward_id": key})


def _key(message: Tracked, event: str, said: Properties) -> str | None:
    """An order counts once, whoever tells of it; else a message does."""
    order = said.get("order_id")
    if isinstance(order, str | int) and order != "":
        return key_of(event, str(order))
    return key_of(message.message_id) if message.message_id else None


def _products(said: Properties) -> Iterator[str]:
    """The arms that were bought or seen: a product's id, else its stock number."""
    listed = said.get("products")
    for one in listed if isinstance(listed, list) else [said]:
        found = (one.get("product_id") or one.get("sku")) if isinstance(one, dict) else None
        if isinstance(found, str | int):
            yield str(found)


def _reward(fields: dict[str, Any]) -> RewardRequest:
    try:
        return msgspec.convert(fields, RewardRequest)
    except msgspec.ValidationError as error:
        raise BadRequest(FieldError("/properties", str(error))) from None


def _decoded(body: bytes, kind: Any) -> Any:  # noqa: ANN401  # one of two forms, each checked by its type
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(FieldError("", str(error))) from None
