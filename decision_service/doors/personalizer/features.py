"""Personalizer's features, nested lists of objects, to ours: flat, name to text, number or boolean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from decision_service.api.values import MAX_FEATURES, MAX_MAGNITUDE
from decision_service.doors.personalizer.refusals import Refused
from sidecar.contracts.application import Features, FeatureValue

_MOST_NAME, _MOST_TEXT, _MOST_LEVELS = 256, 1024, 16
_NO_ARRAY = "Features should not contain array with non-number items."
_NO_NAME = "Context features and action features cannot use the empty string as an id."
_NO_PAIRS = "Features are not in key value pair format."


def flat(objects: Iterable[object], target: str) -> Features:
    """One mapping of all ``objects``; a name that comes twice has its last value.

    Levels are joined by dots, numbers of an array have their place as a last level, names that begin with
    ``_`` are left out, and null is the text ``null``.

    Args:
        objects: of a request, without nulls.
        target: where they stand in it.

    Raises:
        Refused: what is no feature there, or more than we take.

    >>> flat([{"device": {"os": "ios", "_id": 3}, "at": [1, 2.5]}, {"new": None}], "")
    {'device.os': 'ios', 'at.0': 1.0, 'at.1': 2.5, 'new': 'null'}
    """
    found: Features = {}
    for one in objects:
        if not isinstance(one, dict):
            raise Refused("InvalidRankRequest", _NO_PAIRS, target)
        _add(found, one, "", target, _MOST_LEVELS)
    if len(found) > MAX_FEATURES:
        raise _too("many features", f"{MAX_FEATURES} of them", target)
    return found


def _add(found: Features, one: dict[str, object], above: str, target: str, levels: int) -> None:
    """Every rank comes through here with all its features: a loop, and no generators."""
    if not levels:
        raise _too("many levels", f"{_MOST_LEVELS} of them", target)
    for name, value in one.items():
        if not name:
            raise Refused("InvalidRankRequest", _NO_NAME, target)
        if name[0] == "_":
            continue
        place = above + name
        if isinstance(value, dict):
            _add(found, value, place + ".", target, levels - 1)
        elif isinstance(value, list):
            _add_array(found, value, place, target)
        else:
            found[place] = _value(value, place, target)


def _add_array(found: Features, values: list[object], place: str, target: str) -> None:
    for number, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refused("InvalidRankRequest", _NO_ARRAY, target)
        found[f"{place}.{number}"] = _value(value, f"{place}.{number}", target)


def _value(value: object, place: str, target: str) -> FeatureValue:
    if len(place) > _MOST_NAME:
        raise _too("long a name of a feature", f"{_MOST_NAME} characters", target)
    if isinstance(value, str):
        if len(value) > _MOST_TEXT:
            raise _too(f"long a text in {place}", f"{_MOST_TEXT} characters", target)
        return value
    if value is None:
        return "null"
    if value is True or value is False:
        return value
    number = cast("float", value)  # JSON has nothing else; an int may be too large for a float
    if not -MAX_MAGNITUDE <= number <= MAX_MAGNITUDE:
        raise _too(f"large a number in {place}", f"{MAX_MAGNITUDE:g} either way", target)
    return float(number)


def _too(what: str, most: str, target: str) -> Refused:
    return Refused("InvalidRankRequest", f"Too {what}: at most {most}.", target)
