"""Values as JSON and back, exactly: what does not come back as it went is refused instead of bent.

JSON knows null, booleans, numbers, text, lists and objects with text for keys. Everything else is written as
``{"$": "<form>", "is": <JSON>}``: tuples, bytes, dates and their like under forms of this module, other types
under those that a caller brings.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Final
from uuid import UUID

from feature_graph.errors import BadRecording

_MARK: Final = "$"
_IS: Final = "is"


@dataclass(frozen=True, slots=True)
class Form:
    """How values of exactly one type are written: ``decode(encode(value))`` equals the value."""

    type: type
    encode: Callable[[Any], object]
    """To what JSON has a form for, or another form of the same set."""
    decode: Callable[[Any], object]


Forms = Mapping[str, Form]
"""By the name that stands in the text: it is read back for ever, so do not rename it."""


NO_FORMS: Final[Forms] = {}


def _seconds(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


_OWN: Final[Forms] = {
    "tuple": Form(tuple, list, tuple),
    "set": Form(set, list, set),
    "frozenset": Form(frozenset, list, frozenset),
    "bytes": Form(bytes, lambda value: b64encode(value).decode("ascii"), b64decode),
    "float": Form(float, repr, float),
    "pairs": Form(dict, lambda value: [list(pair) for pair in value.items()], dict),
    "datetime": Form(datetime, datetime.isoformat, datetime.fromisoformat),
    "date": Form(date, date.isoformat, date.fromisoformat),
    "time": Form(time, time.isoformat, time.fromisoformat),
    "timedelta": Form(timedelta, _seconds, lambda told: timedelta(*told)),
    "decimal": Form(Decimal, str, Decimal),
    "uuid": Form(UUID, str, UUID),
}
_OWN_BY_TYPE: Final = {form.type: (tag, form) for tag, form in _OWN.items()}


def to_plain(value: object, forms: Forms = NO_FORMS) -> object:
    """The value in what JSON has; subtypes of its types (a ``StrEnum``) are types of their own.

    Raises:
        BadRecording: a type without a form.
    """
    kind = type(value)
    if value is None or kind in (bool, int, str) or (isinstance(value, float) and _is_a_number(value)):
        return value
    if isinstance(value, list) and kind is list:
        return [to_plain(each, forms) for each in value]
    if isinstance(value, dict) and kind is dict and _has_text_keys(value):
        return {key: to_plain(each, forms) for key, each in value.items()}
    tag, form = _form_of(kind, forms)
    return {_MARK: tag, _IS: to_plain(form.encode(value), forms)}


def from_plain(told: object, forms: Forms = NO_FORMS) -> object:
    """The value again.

    Raises:
        BadRecording: it was written under a form that is not known here.
    """
    if isinstance(told, list):
        return [from_plain(each, forms) for each in told]
    if not isinstance(told, dict):
        return told
    if _MARK not in told:
        return {key: from_plain(each, forms) for key, each in told.items()}
    tag = told[_MARK]
    form = forms.get(tag) or _OWN.get(tag)
    if form is None:
        known = ", ".join(sorted({*_OWN, *forms}))
        raise BadRecording(f"a value was written under the form {tag!r}; known here: {known}")
    return form.decode(from_plain(told[_IS], forms))


def is_plain(value: object, forms: Forms = NO_FORMS) -> bool:
    """True if the value can be written."""
    try:
        to_plain(value, forms)
    except (BadRecording, RecursionError):
        return False
    return True


def _is_a_number(value: float) -> bool:
    return type(value) is float and isfinite(value)


def _has_text_keys(value: dict[object, object]) -> bool:
    return _MARK not in value and all(type(key) is str for key in value)


def _form_of(kind: type, forms: Forms) -> tuple[str, Form]:
    for tag, form in forms.items():
        if form.type is kind and tag not in _OWN:
            return tag, form
    found = _OWN_BY_TYPE.get(kind)
    if found is None:
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise BadRecording(
            f"JSON has no form for a {name}; bring one: forms={{'…': Form({kind.__name__}, …)}}"
        )
    return found
