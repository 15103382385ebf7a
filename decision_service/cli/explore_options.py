"""What `sidearm explore` is told on its command line, as data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `sidearm --help` must not wait for them
    from sidecar.contracts.application import Application, ExplorationConfig
    from sidecar.contracts.exploring import Segment


def share_of(units: str) -> tuple[float, float]:
    """Two shares, such as ``0-0.1``.

    Raises:
        BadSegment: it is not.
    """
    from sidecar.contracts.errors import BadSegment

    low, _, high = units.partition("-")
    try:
        return float(low), float(high)
    except ValueError:
        raise BadSegment(f"--units {units!r}: legal are two shares, such as 0-0.1 or 0.1-0.2") from None


def where_of(pairs: list[str]) -> dict[str, list[str | float | bool]]:
    """A value that is a JSON number or truth is one; everything else is text."""
    from sidecar.contracts.errors import BadSegment

    found: dict[str, list[str | float | bool]] = {}
    for pair in pairs:
        feature, equals, text = pair.partition("=")
        if not equals or not feature:
            raise BadSegment(f"--where {pair!r}: legal is FEATURE=VALUE, such as device=ios")
        found.setdefault(feature, []).append(_value(text))
    return found


def _value(text: str) -> str | float | bool:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, bool):
        return value
    return float(value) if isinstance(value, int | float) else str(value if isinstance(value, str) else text)


def check_rule(application: Application, rule: str) -> None:
    """See that the application has such a rule.

    Raises:
        BadSegment: it has not.
    """
    from sidecar.contracts.errors import BadSegment

    if rule and rule not in application.rules.segments:
        legal = ", ".join(application.rules.segments) or "none: [rules] in app.toml names no segments"
        raise BadSegment(f"{rule!r} is no rule of segments; legal: {legal}")


def segment_of(what: dict[str, Any]) -> Segment:
    """A segment of its fields.

    Raises:
        BadSegment: there can be none such.
    """
    import msgspec

    from sidecar.contracts.checking import checked
    from sidecar.contracts.errors import BadSegment
    from sidecar.contracts.exploring import Segment

    return checked(msgspec.to_builtins(what), Segment, "segment", BadSegment)


def changed(now: ExplorationConfig, given: dict[str, str | float]) -> ExplorationConfig:
    """What is so, with the parameters that are given.

    Raises:
        BadSegment: one is illegal.
    """
    import msgspec

    from sidecar.contracts.application import ExplorationConfig
    from sidecar.contracts.checking import checked
    from sidecar.contracts.errors import BadSegment

    return checked({**msgspec.to_builtins(now), **given}, ExplorationConfig, "exploration", BadSegment)
