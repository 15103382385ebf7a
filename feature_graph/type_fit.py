"""Whether a value of one type may go where another is wanted: no only where it is certain.

The rules are those of the typing specification, made lenient where a checker that sees less than all of the
program could be wrong: what is not known fits, and containers are taken as covariant.
"""

from __future__ import annotations

import collections.abc as abc
import enum
import types
from typing import IO, Any, BinaryIO, Generic, Literal, Never, NoReturn, TextIO, get_args, get_origin

from feature_graph.annotations import Annotations
from feature_graph.type_forms import (
    arguments_as,
    class_and_arguments,
    is_new_type,
    is_typed_dict,
    is_unknown,
    members_of,
    plain,
    told,
)

_DEEP = 24
"""Nested types beyond this, recursive aliases among them, are taken to fit."""
_PROMOTED: dict[type, tuple[type, ...]] = {
    float: (int,),
    complex: (int, float),
    bytes: (bytearray, memoryview),
}
_FILES = (IO, TextIO, BinaryIO)
_FIRST_ONLY = (abc.Generator, abc.AsyncGenerator, abc.Coroutine)
"""Their later arguments are not covariant."""


class Fit:
    """Asks each question once."""

    def __init__(self, annotations: Annotations) -> None:
        self.annotations = annotations
        self._known: dict[tuple[object, object], bool] = {}

    def fits(self, given: object, wanted: object) -> bool:
        """False if a value of type ``given`` is certainly wrong where ``wanted`` is asked for."""
        if given is wanted:
            return True
        try:
            known = self._known.get((given, wanted))
        except TypeError:  # Annotated[int, []] has no hash
            return self._fits(given, wanted, 0)
        if known is None:
            known = self._known[given, wanted] = self._fits(given, wanted, 0)
        return known

    def _fits(self, given: object, wanted: object, deep: int) -> bool:
        given, wanted = plain(given), plain(wanted)
        if deep > _DEEP or given is wanted or wanted is object or is_unknown(given) or is_unknown(wanted):
            return True
        offered = members_of(given)
        if len(offered) > 1:
            return all(self._fits(each, wanted, deep + 1) for each in offered)
        if any(form is never for form in (given, wanted) for never in (Never, NoReturn)):
            return True
        accepted = members_of(wanted)
        if len(accepted) > 1:
            if any(self._fits(given, each, deep + 1) for each in accepted):
                return True
            cases = _cases(given)
            return bool(cases) and all(self._fits(each, wanted, deep + 1) for each in cases)
        return self._one_fits_one(given, wanted, deep)

    def _one_fits_one(self, given: object, wanted: object, deep: int) -> bool:
        """Neither is a union."""
        if is_new_type(given):  # also where a NewType is wanted: perhaps it is one made of that
            return self._fits(given.__supertype__, wanted, deep + 1)  # type: ignore[attr-defined]
        if is_new_type(wanted):
            return False
        if get_origin(wanted) is Literal:
            return (get_origin(given) is Literal and _same_literal(given, wanted)) or _is_only_case(
                given, wanted
            )
        if get_origin(given) is Literal:
            return self._fits(type(get_args(given)[0]), wanted, deep + 1)
        if is_typed_dict(given) or is_typed_dict(wanted):
            return self._dicts_fit(given, wanted, deep)
        cls, arguments = class_and_arguments(given)
        target, their_arguments = class_and_arguments(wanted)
        if cls is None or target is None:
            return True
        if cls is type and arguments and target is not type:
            made = class_and_arguments(plain(arguments[0]))[0]
            return made is None or _class_fits(type(made), target)
        if not _class_fits(cls, target):
            return False
        if their_arguments is None or target in (abc.Callable, Generic):
            return True
        return self._arguments_fit(arguments_as(cls, arguments, target), their_arguments, target, deep + 1)

    def _arguments_fit(
        self, given: tuple[object, ...] | None, wanted: tuple[object, ...], target: type, deep: int
    ) -> bool:
        if given is None:
            return True
        if target is tuple:
            return self._tuples_fit(given, wanted, deep)
        if len(given) != len(wanted):
            return True
        if target in _FIRST_ONLY:
            given, wanted = given[:1], wanted[:1]
        variables = getattr(target, "__parameters__", ())
        for place, (theirs, ours) in enumerate(zip(given, wanted, strict=True)):
            variable = variables[place] if place < len(variables) else None
            inferred = getattr(variable, "__infer_variance__", False)
            backwards = getattr(variable, "__contravariant__", False)
            if not (
                (not backwards and self._fits(theirs, ours, deep))
                or ((backwards or inferred) and self._fits(ours, theirs, deep))
            ):
                return False
        return True

    def _tuples_fit(self, given: tuple[object, ...], wanted: tuple[object, ...], deep: int) -> bool:
        if any(is_unpacked(each) for each in (*given, *wanted)):
            return True
        if Ellipsis in wanted:
            return all(self._fits(each, wanted[0], deep) for each in given if each is not Ellipsis)
        if Ellipsis in given:  # as long as it may be
            return all(self._fits(given[0], each, deep) for each in wanted)
        return len(given) == len(wanted) and all(
            self._fits(theirs, ours, deep) for theirs, ours in zip(given, wanted, strict=True)
        )

    def _dicts_fit(self, given: object, wanted: object, deep: int) -> bool:
        if is_typed_dict(given) and is_typed_dict(wanted):
            ours, theirs = self.annotations.fields(wanted), self.annotations.fields(given)  # type: ignore[arg-type]
            required: frozenset[str] = getattr(wanted, "__required_keys__", frozenset())
            return required <= theirs.keys() and all(
                self._fits(theirs[name], form, deep + 1) for name, form in ours.items() if name in theirs
            )
        if is_typed_dict(wanted):  # a dict that may have the right keys
            return self._fits(given, abc.Mapping[str, Any], deep + 1)
        target, arguments = class_and_arguments(wanted)
        if target is None or target is abc.Hashable or not _class_fits(dict, target):
            return target is None or target is abc.Hashable
        seen = arguments_as(dict, (str, object), target)
        if arguments is None or seen is None or len(arguments) != len(seen):
            return True
        if len(seen) == 1:
            return self._fits(str, arguments[0], deep + 1)
        fields = self.annotations.fields(given)  # type: ignore[arg-type]
        return self._fits(str, arguments[0], deep + 1) and all(
            self._fits(each, arguments[1], deep + 1) for each in fields.values()
        )


def _cases(form: object) -> tuple[object, ...]:
    """A type that has only so many values, as literals."""
    if form is bool:
        return (Literal[True], Literal[False])
    if isinstance(form, type) and issubclass(form, enum.Enum) and not issubclass(form, enum.Flag):
        return tuple(Literal[each] for each in form)
    return ()


def _is_only_case(given: object, wanted: object) -> bool:
    """An enumeration of one member, or None written as a literal."""
    if given is types.NoneType:
        return get_args(wanted) == (None,)
    cases = _cases(given)
    return len(cases) == 1 and _same_literal(cases[0], wanted)


def _same_literal(given: object, wanted: object) -> bool:
    (theirs,), (ours,) = get_args(given), get_args(wanted)
    return type(theirs) is type(ours) and bool(theirs == ours)


def is_unpacked(form: object) -> bool:
    """True for ``*Ts`` and ``*tuple[int, ...]`` inside a tuple: any number of elements."""
    return getattr(form, "__unpacked__", False) or told(form).startswith(("*", "Unpack["))


def _class_fits(cls: type, target: type) -> bool:
    if target is object or target is Any or is_unknown(cls) or is_unknown(target):
        return True
    if any(issubclass(cls, each) for each in _PROMOTED.get(target, ())) or _is_twin(cls, target):
        return True
    if getattr(target, "_is_protocol", False):
        return _may_follow(cls, target)
    if target is abc.Hashable:  # a subclass may take its parent's hash away, and checkers do not look
        return cls.__hash__ is not None or cls.__module__ != "builtins"
    if target in _FILES or cls in _FILES:  # which classes they stand for is known to checkers only
        return "builtins" not in (cls.__module__, target.__module__)
    try:
        return issubclass(cls, target)
    except Exception:  # a metaclass that will not say
        return True


def _is_twin(cls: type, target: type) -> bool:
    """The same source loaded twice, as ``__main__`` and by its name, or again after a change."""
    for base in cls.__mro__:
        if base.__qualname__ == target.__qualname__ and (
            base.__module__ == target.__module__ or "__main__" in (base.__module__, target.__module__)
        ):
            return True
    return False


def _may_follow(cls: type, protocol: type) -> bool:
    """True unless the class lacks a method of the protocol; attributes may be set when it is made."""
    if protocol in cls.__mro__ or getattr(cls, "_is_protocol", False):
        return True
    if any("__getattr__" in vars(base) for base in cls.__mro__):
        return True
    closed = cls.__module__ == "builtins"  # its instances have what the class has
    for base in protocol.__mro__:
        if not getattr(base, "_is_protocol", False) or base.__qualname__ in ("Protocol", "Generic"):
            continue
        methods = [name for name, member in vars(base).items() if isinstance(member, types.FunctionType)]
        fields = list(getattr(base, "__annotations__", ())) if closed else []
        if any(not hasattr(cls, name) for name in (*methods, *fields) if name not in _OF_EVERY_PROTOCOL):
            return False
    return True


_OF_EVERY_PROTOCOL = frozenset(
    ("__init__", "__subclasshook__", "_no_init_or_replace_init", "__class_getitem__")
)
