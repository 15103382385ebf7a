"""From what a node says to a feature of the context that is scored and logged.

Nodes are an application's own code and may say anything: what cannot be used is ``unusable``, and harms
neither the decision nor those beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from decision_service.api.values import MAX_MAGNITUDE
from feature_graph import Resolution, Status
from feature_graph.node import MISSING
from sidecar.contracts.application import Features, FeatureValue

GIVEN = Status.GIVEN.value
OK = Status.OK.value
FALLBACK = Status.FALLBACK.value
WORDS = {status: status.value for status in Status}
"""Reading a member's value through its class costs more than this look-up."""
UNUSABLE = "unusable"
"""Outcome of a node whose value cannot be a feature."""

_MAX_TEXT = 1024


def features(found: Resolution, nodes: Sequence[str], outcomes: dict[str, str]) -> Features:
    """Those of ``nodes`` that have a value that can be a feature; how each was had goes into ``outcomes``."""
    told: Features = {}
    values = found.plainly(nodes)
    if values is not None:
        unusable = put_features(nodes, [[value] for value in values], [told])
        outcomes.update(dict.fromkeys(nodes, OK) | dict.fromkeys(unusable.get(0, ()), UNUSABLE))
        return told
    for node in nodes:
        outcomes[node], one = feature(found, node)
        if one is not None:
            told[node] = one
    return told


def put_features(
    nodes: Sequence[str], columns: Sequence[Sequence[object]], rows: Sequence[Features]
) -> dict[int, list[str]]:
    """Put what each node said there, its own value for each of ``rows``; by row, whose value was unusable."""
    unusable: dict[int, list[str]] = {}
    for node, column in zip(nodes, columns, strict=True):
        for place, (row, value) in enumerate(zip(rows, column, strict=True)):
            if value.__class__ is str and len(value) <= _MAX_TEXT and value.isascii():
                row[node] = value
            elif value is not None:
                one = usable(value)
                if one is None:
                    unusable.setdefault(place, []).append(node)
                else:
                    row[node] = one
    return unusable


def feature(found: Resolution, node: str) -> tuple[str, FeatureValue | None]:
    """How the value of a context feature was had, and the value; None if there is none that can be one."""
    status, value = found.had(node)
    if value is None or value is MISSING:
        return found.outcomes[node].status.value, None
    one = usable(value)
    return (UNUSABLE, None) if one is None else (WORDS[status], one)


def usable(value: object) -> FeatureValue | None:
    """A value that can be a feature, of the plain type; None if it cannot."""
    kind = type(value)
    if kind is str:
        return plain_text(value) if len(value) <= _MAX_TEXT else None  # type: ignore[arg-type]  # a str
    try:
        if kind is bool:
            return value  # type: ignore[return-value]  # a bool
        if isinstance(value, str):
            return plain_text(str.__str__(value)) if len(value) <= _MAX_TEXT else None
        if isinstance(value, int | float) and -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:
            return float(value)
    except Exception:  # an application's own type may raise anything
        return None
    return None


def plain_text(value: str) -> str | None:
    """Text of the plain type; None if UTF-8 has no form for it: it would fail its whole score call."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value
