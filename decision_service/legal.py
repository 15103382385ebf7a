"""What would have been legal at a place of a request, in words, from the request's own type."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import inspect


def legal_at(wanted: type, steps: list[str]) -> str:
    """The legal values at ``steps`` inside a ``wanted``.

    >>> from decision_service.api import RecommendationRequest
    >>> legal_at(RecommendationRequest, ["deadline_ms"])
    'an integer from 1 to 10000, or null'
    >>> legal_at(RecommendationRequest, ["context", "device"])
    'text of at most 1024 characters, or a number from -1e+09 to 1e+09, or true or false'
    """
    return ", or ".join(_in_words(kind) for kind in _at(wanted, steps))


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
            plain = " without control characters" if kind.pattern else ""
            return f"text{_size(kind.min_length, kind.max_length, 'characters')}{plain}"
        case inspect.IntType():
            return f"an integer{_range(kind.ge, kind.le)}"
        case inspect.FloatType():
            return f"a number{_range(kind.ge, kind.le)}"
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


def _size(least: int | None, most: int | None, of: str) -> str:
    if most is None:
        return ""
    return f" of {least} to {most} {of}" if least else f" of at most {most} {of}"


def _range(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return ""
    return f" from {least:g} to {most:g}"
