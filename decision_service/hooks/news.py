"""What is new: from what the store says now, and what was told before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from decision_service.times import utc
from sidecar.contracts.contests import decode_promotion
from sidecar.contracts.learner_report import Judgement

_DRIFTED, _SETTLED = 0.25, 0.1
"""Of the population stability index: from here on it is told; below there, drift is news again."""
_GATE_QUIET_MS = 600_000
"""A gate that goes on refusing is told of once in so long."""

_OF_KIND = {"promoted": "policy.promoted", "rolled back": "policy.rolled_back"}

Notice = tuple[str, Mapping[bytes, bytes]]


class News(Struct, frozen=True):
    """One thing that happened."""

    id: str
    """The same for the same, whoever noticed it."""
    type: str
    at: str
    data: dict[str, Any]

    def body(self) -> bytes:
        """As it is sent."""
        return msgspec.json.encode({"type": self.type, "timestamp": self.at, "data": self.data})


class Told(Struct, frozen=True):
    """What is known to have been told: how the next look goes on."""

    notice: str = ""
    """The last entry of the stream of notices; empty: nothing was looked at yet."""
    champion: str = ""
    refused_at_ms: int = 0
    gate_told_ms: int = 0
    drifting: tuple[str, ...] = ()
    evaluation: str = ""
    """The last day."""


class Look(Struct, frozen=True):
    """What there is to be seen."""

    app: str
    now_ms: int
    notices: Sequence[Notice]
    """Since the last one told."""
    champion: str
    refusals: Sequence[Judgement]
    drift: Mapping[str, float]
    """Canary to how far its scores have moved, as this replica sees it."""
    evaluations: Sequence[str]
    """The days of finished ones, in order."""


def first(look: Look) -> Told:
    """Whoever looks for the first time tells nothing of what was before."""
    return Told(
        notice=look.notices[-1][0] if look.notices else "0-0",
        champion=look.champion,
        refused_at_ms=max((one.at_ms for one in look.refusals), default=0),
        evaluation=max(look.evaluations, default=""),
    )


def news_of(look: Look, told: Told) -> tuple[list[News], Told]:
    """What is new, and what is told when that is."""
    news: list[News] = []
    news += _of_models(look, told)
    news += _of_the_gate(look, told)
    news += _of_drift(look, told)
    news += [
        _news(look, "evaluation.completed", day, {"day": day})
        for day in look.evaluations
        if day > told.evaluation
    ]
    return news, _after(look, told, {one.type for one in news})


def _after(look: Look, told: Told, types: set[str]) -> Told:
    still = {name for name, drift in look.drift.items() if drift >= _SETTLED and name in told.drifting}
    gone = {name for name in told.drifting if name not in look.drift}  # another replica's canary, or too few
    drifted = {name for name, drift in look.drift.items() if drift > _DRIFTED}
    return replace(
        told,
        notice=look.notices[-1][0] if look.notices else told.notice,
        champion=look.champion,
        refused_at_ms=max([told.refused_at_ms, *(one.at_ms for one in look.refusals)]),
        gate_told_ms=look.now_ms if "gate.refused" in types else told.gate_told_ms,
        drifting=tuple(sorted(still | gone | drifted)),
        evaluation=max([told.evaluation, *look.evaluations]),
    )


def _of_models(look: Look, told: Told) -> Iterator[News]:
    champion = told.champion
    for notice_id, fields in look.notices:
        promotion = decode_promotion(fields)
        if promotion is not None:
            data: dict[str, Any] = msgspec.to_builtins(promotion)
            yield _news(look, _OF_KIND[promotion.kind], notice_id, data, fields)
            champion = look.champion
        elif b"roster" in fields and look.champion != champion:
            data = {"champion": look.champion, "before": champion, "what": _text(fields, b"what")}
            yield _news(look, "policy.promoted", notice_id, data, fields)
            champion = look.champion
        elif pinned := _text(fields, b"pinned"):
            data = {"version": pinned, "before": _text(fields, b"before"), "reason": _text(fields, b"reason")}
            yield _news(look, "policy.rolled_back", notice_id, data, fields)
        elif b"pinned" in fields:
            yield _news(look, "policy.resumed", notice_id, {"before": _text(fields, b"before")}, fields)


def _of_the_gate(look: Look, told: Told) -> Iterator[News]:
    fresh = [one for one in look.refusals if one.at_ms > told.refused_at_ms]
    if fresh and look.now_ms - told.gate_told_ms >= _GATE_QUIET_MS:
        latest = fresh[-1]
        data = {"version": latest.version, "examples": latest.examples, "reason": latest.verdict.reason}
        yield _news(look, "gate.refused", f"{latest.version}-{latest.at_ms}", data)


def _of_drift(look: Look, told: Told) -> Iterator[News]:
    for name, drift in sorted(look.drift.items()):
        if drift > _DRIFTED and name not in told.drifting:
            data = {"canary": name, "stability_index": round(drift, 4)}
            yield _news(look, "drift.detected", f"{name}-{look.now_ms}", data)


def _news(
    look: Look, kind: str, which: str, data: dict[str, Any], notice: Mapping[bytes, bytes] | None = None
) -> News:
    at = _text(notice or {}, b"clock_ms")
    at_ms = int(at) if at.isdecimal() and len(at) < 15 else look.now_ms
    return News(f"msg_{look.app}_{kind}_{which}", kind, utc(at_ms), {"application": look.app, **data})


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str:
    return fields.get(name, b"").decode(errors="replace")
