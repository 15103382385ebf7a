"""Bodies to requests; a body that is none is explained field by field.

The fast path is one call of msgspec. Only when that refuses is the body read a second time, slowly, to point
at the field: msgspec names neither the key inside a mapping nor the place of a NaN.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from decision_service.api.values import GivenFeatures
from decision_service.errors import BadRequest, FieldError
from sidecar.contracts.legal import is_of_a_type, known_fields, legal_at

T = TypeVar("T")

_PATH = re.compile(r" - at (?:`(?P<key>key)` in )?`\$(?P<path>[^`]*)`$")
_FIELD = re.compile(r"(?:required|unknown) field `(?P<field>[^`]*)`")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The request in ``body``.

    Raises:
        BadRequest: with the field at fault and what is legal there.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(_explain(str(error), body, decoder.type)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(_malformed(str(error), body)) from None


def _explain(message: str, body: bytes, wanted: type) -> FieldError:
    """The field that a message of msgspec means, by JSON pointer, and what is legal there."""
    match = _PATH.search(message)
    what = message[: match.start()] if match else message
    steps = [name or index for name, index in _STEP.findall(match["path"] if match else "")]
    if (match and match["key"]) or "..." in steps:
        return _feature_error(body, [step for step in steps if step != "..."], what, wanted)
    if field := _FIELD.search(what):
        if "unknown" in what:
            known = ", ".join(known_fields(wanted, steps))
            return FieldError(_pointer([*steps, field["field"]]), f"unknown field; known here: {known}")
        steps, what = [*steps, field["field"]], "required, but missing"
    elif not is_of_a_type(what):
        return FieldError(_pointer(steps), what)
    return FieldError(_pointer(steps), f"{what}; legal: {legal_at(wanted, steps)}")


def _feature_error(body: bytes, where: list[str], what: str, wanted: type) -> FieldError:
    """Features are the only mappings of this API, and msgspec does not say which entry it means."""
    name, key = _offending_feature(body, where)
    if name is None:
        return FieldError(_pointer(where), what)
    if key:
        return FieldError(_pointer([*where, name]), f"the name of a feature has 1 to 256 characters; {what}")
    place = [*where, name]
    return FieldError(_pointer(place), f"{what}; legal: {legal_at(wanted, place)}")


def _offending_feature(body: bytes, where: list[str]) -> tuple[str | None, bool]:
    """Name of the entry at fault in the mapping at ``where``, and whether the name itself is."""
    try:
        features = json.loads(body)
    except (ValueError, RecursionError):  # numbers of thousands of digits, thousands of levels
        return None, False
    try:
        for step in where:
            features = features[int(step)] if isinstance(features, list) else features[step]
        entries = features.items()
    except (LookupError, TypeError, AttributeError):  # a key that stands twice: msgspec means the other one
        return None, False
    for name, value in entries:
        try:
            msgspec.convert({name: value}, GivenFeatures)
        except msgspec.ValidationError as error:
            return name, "`key`" in str(error)
    return None, False


class _NotFinite:
    """Stands where the body says NaN or Infinity."""


def _malformed(message: str, body: bytes) -> FieldError:
    """No JSON at all, or JSON but for a NaN, which the standard library's looser parser lets us place."""
    try:
        loose = json.loads(body, parse_constant=lambda _: _NotFinite())
    except (ValueError, RecursionError):
        return FieldError("", f"the body is not JSON in UTF-8: {message}")
    place = next(_not_finite_at(loose, []), None)
    if place is None:
        return FieldError("", f"the body is not strict JSON: {message}")
    return FieldError(_pointer(place), "NaN and Infinity are no JSON: a finite number is legal")


def _not_finite_at(value: object, place: list[str]) -> Iterator[list[str]]:
    if isinstance(value, _NotFinite):
        yield place
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _not_finite_at(inner, [*place, name])
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _not_finite_at(inner, [*place, str(index)])


def _pointer(steps: list[str]) -> str:
    """RFC 6901.

    >>> _pointer(["context", "a/b"])
    '/context/a~1b'
    """
    return "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in steps)
