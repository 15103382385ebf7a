"""Flags, evaluated: a decision each, told in OFREP's words."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from decision_service.api.recommendations import Recommendation, RecommendationRequest
from decision_service.asking import Asking
from decision_service.doors.foreign import Visit
from decision_service.doors.ofrep.context import Visitor, visitor_of
from decision_service.doors.ofrep.refusals import NoFlag, Unevaluated, failure_of
from decision_service.errors import ServiceError
from decision_service.problem import HttpAnswer
from decision_service.times import millis
from sidecar.contracts.application import FeatureValue
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.flags_section import FlagConfig

_REASON = {"repeat": "CACHED", "pre_policy": "TARGETING_MATCH"}
_encode = msgspec.json.Encoder().encode


class Evaluator:
    """Evaluates the flags of an application.

    Args:
        flags: by name.
        asking: decides.
        catalogue: the one that serves.
        now_ms: the clock by which an answer that is kept is still good.
    """

    def __init__(
        self,
        flags: Mapping[str, FlagConfig],
        asking: Asking,
        catalogue: Callable[[], Catalogue],
        now_ms: Callable[[], int],
    ) -> None:
        self._flags, self._asking, self._catalogue, self._now_ms = flags, asking, catalogue, now_ms

    async def one(self, visit: Visit) -> HttpAnswer:
        """``POST evaluate/flags/{key}``."""
        key = visit.parts[-1]
        if key not in self._flags:
            raise NoFlag(f"there is no flag {key!r}; there are {', '.join(sorted(self._flags))}")
        evaluated, _ = await self._evaluated(key, visitor_of(visit.body))
        return HttpAnswer(200, _encode(evaluated))

    async def all(self, visit: Visit) -> HttpAnswer:
        """``POST evaluate/flags``: 304 while what the client was told can still be shown.

        That is for as long as its decisions take rewards, and flags, arms and visitor are the same.
        """
        visitor, keys = visitor_of(visit.body), [key for key, flag in self._flags.items() if flag.bulk]
        asked = self._digest(visitor, keys)
        if tag := self._still_good(visit.header(b"if-none-match"), asked):
            return HttpAnswer(304, b"", ((b"etag", tag.encode()),))
        found = await asyncio.gather(*(self._told(key, visitor) for key in keys))
        until_ms = min((until for _, until in found), default=0)
        flags = [flag for flag, _ in found]
        return HttpAnswer(200, _encode({"flags": flags}), ((b"etag", f'"{asked}.{until_ms}"'.encode()),))

    async def _told(self, key: str, visitor: Visitor) -> tuple[Mapping[str, Any], int]:
        """One of several: its failure is its own, and is asked about again."""
        try:
            return await self._evaluated(key, visitor)
        except ServiceError as error:
            return failure_of(error, key), 0

    async def _evaluated(self, key: str, visitor: Visitor) -> tuple[dict[str, Any], int]:
        """What a client is told, and until when rewards join the decision."""
        flag = self._flags[key]
        made = await self._asking.ask(
            RecommendationRequest(
                session_id=visitor.target,
                context=visitor.features,
                arms=list(flag.arms) or None,
            )
        )
        until_ms = 0 if made.reward_until is None else millis(made.reward_until)
        return {
            "key": key,
            "value": self._value(flag, made.arm),
            "variant": made.arm,
            "reason": _REASON.get(made.source, "SPLIT"),
            "metadata": _metadata(made),
        }, until_ms

    def _value(self, flag: FlagConfig, arm_id: str) -> FeatureValue:
        if not flag.value:
            return arm_id
        arm = self._catalogue().by_id().get(arm_id)
        if arm is None or flag.value not in arm.features:
            raise Unevaluated(
                f"arm {arm_id!r} has no feature {flag.value!r}, which is to be the flag's value"
            )
        return arm.features[flag.value]

    def _digest(self, visitor: Visitor, keys: Sequence[str]) -> str:
        said = (visitor, [(key, self._flags[key]) for key in keys], self._catalogue().version)
        body = msgspec.json.encode(said, order="deterministic")
        return hashlib.blake2b(body, digest_size=16).hexdigest()

    def _still_good(self, sent: str, asked: str) -> str:
        """The tag that the client has, if it is one of ours for this, and not over; else nothing."""
        for tag in (one.strip().removeprefix("W/") for one in sent.split(",")):
            digest, _, until_ms = tag.strip('"').partition(".")
            if digest == asked and until_ms.isdecimal() and self._now_ms() < int(until_ms[:14]):
                return tag
        return ""


def _metadata(made: Recommendation) -> dict[str, str | float | bool]:
    """Text, numbers and booleans only."""
    found: dict[str, str | float | bool] = {
        "decision_id": made.decision_id,
        "propensity": made.probability,
        "policy": made.policy,
        "policy_version": made.model_version,
        "source": made.source,
        "logged": made.logged,
    }
    return found if made.reward_until is None else found | {"reward_until": made.reward_until}
