"""Whether a value is of a type: no only where it is certain, and of long containers only a part is read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Literal, get_args, get_origin

from feature_graph.type_fit import Fit, is_unpacked
from feature_graph.type_forms import (
    arguments_as,
    class_and_arguments,
    is_new_type,
    is_typed_dict,
    is_unknown,
    members_of,
    plain,
)

_DEEP = 8
"""Containers in containers beyond this are taken to fit."""
_LOOKED_AT = 64
"""Elements of a container that are held against its type."""


def value_fits(fit: Fit, value: object, wanted: object, deep: int = 0) -> bool:
    """False if ``value`` is certainly no ``wanted``."""
    wanted = plain(wanted)
    if deep > _DEEP or is_unknown(wanted):
        return True
    members = members_of(wanted)
    if len(members) > 1:
        return any(value_fits(fit, value, member, deep) for member in members)
    if is_new_type(wanted):  # at run time it is nothing but its supertype
        return value_fits(fit, value, wanted.__supertype__, deep)  # type: ignore[attr-defined]
    if get_origin(wanted) is Literal:
        return any(type(each) is type(value) and each == value for each in get_args(wanted))
    if is_typed_dict(wanted):
        return _is_row(fit, value, wanted, deep)
    if isinstance(value, type):
        return fit.fits(type[value], wanted)
    cls, arguments = class_and_arguments(wanted)
    if not fit.fits(type(value), wanted):
        return False
    if cls is None or not arguments:
        return True
    if isinstance(value, tuple) and cls is tuple and Ellipsis not in arguments:
        return _is_tuple_of(fit, value, arguments, deep)
    return all(value_fits(fit, each, form, deep + 1) for each, form in _elements(value, cls, arguments))


def _is_row(fit: Fit, value: object, typed_dict: object, deep: int) -> bool:
    if not isinstance(value, dict):
        return False
    required: frozenset[str] = getattr(typed_dict, "__required_keys__", frozenset())
    fields = fit.annotations.fields(typed_dict)  # type: ignore[arg-type]
    return required <= value.keys() and all(
        value_fits(fit, value[name], form, deep + 1) for name, form in fields.items() if name in value
    )


def _is_tuple_of(fit: Fit, value: tuple[object, ...], arguments: tuple[object, ...], deep: int) -> bool:
    if any(is_unpacked(each) for each in arguments):
        return True
    return len(value) == len(arguments) and all(
        value_fits(fit, each, form, deep + 1) for each, form in zip(value, arguments, strict=True)
    )


def _elements(value: object, cls: type, arguments: tuple[object, ...]) -> Iterator[tuple[object, object]]:
    """The first elements of a container with the types that they should have; of anything else none."""
    if isinstance(value, dict):
        sides = arguments_as(dict, ("keys", "values"), cls)  # what each argument is about
        if sides is not None and len(sides) == len(arguments):
            for side, form in zip(sides, arguments, strict=True):
                inside = value.values() if side == "values" else value
                yield from ((each, form) for each in islice(inside, _LOOKED_AT))
    elif isinstance(value, list | tuple | set | frozenset) and (
        cls is tuple or arguments_as(list, (int,), cls)
    ):
        yield from ((each, arguments[0]) for each in islice(value, _LOOKED_AT))
