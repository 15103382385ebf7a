"""What would have been legal at a place of a request or a file, in words, from its own type."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import inspect

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def legal_at(wanted: type, steps: list[str]) -> str:
    """The legal values at ``steps`` inside a ``wanted``.

    >>> from sidecar.contracts.exploring import Segment
    >>> legal_at(Segment, ["exploration", "floor"])
    'a number from 0 to 1'
    >>> legal_at(Segment, ["where", "device"])
    'a list'
    """
    return ", or ".join(_in_words(kind) for kind in _at(wanted, steps))


def told(message: str, wanted: type) -> str:
    """A message of msgspec, with what is legal at the place that it points at.

    >>> from sidecar.contracts.exploring import Segment
    >>> told("Expected `float` <= 1.0 - at `$.exploration.floor`", Segment)
    'Expected `float` <= 1.0 - at `$.exploration.floor`; legal: a number from 0 to 1'
    """
    steps = [name or index for name, index in _STEP.findall(message.rpartition("`$")[2].rstrip("`"))]
    if "unknown field" in message:
        return f"{message}; known here: {', '.join(known_fields(wanted, steps))}"
    legal = legal_at(wanted, steps) if is_of_a_type(message) else ""
    return f"{message}; legal: {legal}" if legal else message


def is_of_a_type(message: str) -> bool:
    """Whether a message of msgspec tells of a wrong type; else the type's own code has spoken."""
    return message.startswith(("Expected", "Invalid"))


def known_fields(wanted: type, steps: list[str]) -> list[str]:
    """The legal field names of the object at ``steps``."""
    structs = [kind for kind in _at(wanted, steps) if isinstance(kind, inspect.StructType)]
    return [field.encode_name for struct in structs for field in struct.fields]


def _at(wanted: type, steps: list[str]) -> list[inspect.Type]:
    kinds = list(_flat(inspect.type_info(wanted)))
    for step in steps:
        kinds = [inner for kind in kinds for child in _children(kind, step) for inner in _flat(child)]
    return kinds


def _children(kind: inspect.Type, step: str) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        yield from (field.type for field in kind.fields if field.encode_name == step)
    elif isinstance(kind, inspect.ListType) and step.isdigit():
        yield kind.item_type
    elif isinstance(kind, inspect.DictType):
        yield kind.value_type


def _flat(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _flat(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from _flat(one)
    else:
        yield kind


def _in_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.StrType():
            return f"text{_size(kind.min_length, kind.max_length, 'characters')}{_pattern(kind.pattern)}"
        case inspect.IntType():
            return f"an integer{_range(kind)}"
        case inspect.FloatType():
            return f"a number{_range(kind)}"
        case inspect.ListType():
            return f"a list{_size(kind.min_length, kind.max_length, 'entries')}"
        case inspect.DictType():
            return f"an object{_size(kind.min_length, kind.max_length, 'entries')}"
        case inspect.LiteralType():
            return " or ".join(repr(value) for value in kind.values)
        case inspect.StructType():
            return f"an object with {', '.join(field.encode_name for field in kind.fields)}"
        case inspect.BoolType():
            return "true or false"
        case _:
            return "null"


def _pattern(pattern: str | None) -> str:
    if pattern is None:
        return ""
    return " without control characters" if r"\x00" in pattern else f" that matches {pattern}"


def _size(least: int | None, most: int | None, of: str) -> str:
    if most is None:
        return ""
    return f" of {least} to {most} {of}" if least else f" of at most {most} {of}"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:g} to {kind.le:g}"
    bounds = {"above": kind.gt, "of at least": kind.ge, "below": kind.lt, "of at most": kind.le}
    told = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
    return "".join(f" {one}" for one in told)
