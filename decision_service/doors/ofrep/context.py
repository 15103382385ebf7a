"""An evaluation context to features: flat, name to text, number or boolean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from decision_service.api.values import GivenFeatures, Key
from decision_service.doors.ofrep.refusals import BadContext, NoTarget, NotParsed
from sidecar.contracts.application import Features, FeatureValue

_TARGET = "targetingKey"
_MOST_LEVELS = 16


class Evaluation(Struct, frozen=True):
    """The body of a request."""

    context: dict[str, Any] = {}


class Visitor(Struct, frozen=True):
    """Who is to be shown something."""

    target: str
    features: Features


def visitor_of(body: bytes) -> Visitor:
    """Of a request's body.

    Raises:
        NotParsed: it is no JSON of that form.
        NoTarget: it has no targeting key.
        BadContext: what cannot be a feature's name or value, or too much of it.

    >>> visitor_of(b'{"context": {"targetingKey": "u-7", "plan": {"paid": true}, "tags": ["new"]}}')
    Visitor(target='u-7', features={'plan.paid': True, 'tags.new': True})
    """
    try:
        context = msgspec.json.decode(body, type=Evaluation).context
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotParsed(str(error)) from None
    target = context.pop(_TARGET, None)
    if target is None or target == "":
        raise NoTarget(
            "context.targetingKey says whom the decision is for, such as a user's or a session's id"
        )
    features = dict(_flat(context, "", _MOST_LEVELS))
    return Visitor(_checked(target, Key, _TARGET), _checked(features, GivenFeatures, "context"))


def _checked(value: object, kind: Any, what: str) -> Any:  # noqa: ANN401  # of that kind
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadContext(f"{what}: {error}") from None


def _flat(value: object, place: str, levels: int) -> Iterator[tuple[str, FeatureValue]]:
    """Levels are joined by dots; the texts of a list are features that are true; null is none."""
    if not levels:
        raise BadContext(f"more than {_MOST_LEVELS} levels")
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{place}.{name}" if place else name, levels - 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if isinstance(inner, str):
                yield f"{place}.{inner}", True
            else:
                yield from _flat(inner, f"{place}.{number}", levels - 1)
    elif isinstance(value, bool | int | float | str):
        yield place, value if isinstance(value, bool | str) else float(value)
