"""The forms in which Python writes types, reduced to a few: a class and its arguments, a union, a literal."""

from __future__ import annotations

import collections
import collections.abc as abc
import inspect
import types
import typing
from typing import Annotated, Any, ForwardRef, Literal, Union, get_args, get_origin

Arguments = tuple[object, ...] | None
"""None: not told, so that anything fits."""

_QUALIFIERS = frozenset(("Required", "NotRequired", "ReadOnly", "Final", "ClassVar"))
_VARIABLES = frozenset(("TypeVar", "ParamSpec", "ParamSpecArgs", "ParamSpecKwargs", "TypeVarTuple"))
_TYPING = frozenset(("typing", "types", "typing_extensions", "collections.abc"))
_ALIASES_DEEP = 16
_OF_ONE: frozenset[type] = frozenset(
    {list, set, frozenset, collections.deque, abc.Iterable, abc.Iterator, abc.Collection, abc.Container}
    | {abc.Reversible, abc.Sequence, abc.MutableSequence, abc.Set, abc.MutableSet}
    | {abc.KeysView, abc.ValuesView}
)
"""Containers with one type argument, that of their elements."""
_OF_TWO: frozenset[type] = frozenset(
    {dict, collections.defaultdict, collections.OrderedDict, collections.ChainMap, types.MappingProxyType}
    | {abc.Mapping, abc.MutableMapping}
)
"""Keys and values; iterating gives the keys."""
_ELEMENTS: dict[type, object] = {str: str, bytes: int, bytearray: int, memoryview: int, range: int}


def plain(form: object) -> object:
    """The type itself: aliases followed, ``Annotated`` and qualifiers taken off, None as its class."""
    for _ in range(_ALIASES_DEEP):
        if form is None:
            return types.NoneType
        if not isinstance(form, type) and type(form).__module__ not in _TYPING:
            return Any  # Python lets anything be an annotation
        origin = get_origin(form)
        name = getattr(origin or form, "_name", None)
        if origin is Annotated:
            form = form.__origin__  # type: ignore[attr-defined]
        elif origin is not None and name in _QUALIFIERS:
            form = get_args(form)[0]
        elif name in ("TypeGuard", "TypeIs"):
            return bool
        elif name == "LiteralString":
            return str
        elif type(origin or form).__name__ == "TypeAliasType":
            form = _alias_value(form, origin)
        else:
            return form
    return Any


def _alias_value(form: object, origin: Any) -> object:  # noqa: ANN401 - an alias, whose class 3.11 lacks
    try:
        if origin is None:
            return form.__value__  # type: ignore[attr-defined]
        bound = dict(zip(origin.__type_params__, get_args(form), strict=True))
        return substituted(origin.__value__, bound)
    except Exception:  # it names what does not exist at run time
        return Any


def substituted(form: object, bound: typing.Mapping[object, object]) -> object:
    """``form`` with its type variables replaced; those that are not bound become ``Any``."""
    if type(form).__name__ in _VARIABLES:
        return bound.get(form, Any)
    free = getattr(form, "__parameters__", ())
    if (isinstance(form, type) and get_origin(form) is None) or not free:
        return form
    try:
        return form[tuple(bound.get(each, Any) for each in free)]  # type: ignore[index]
    except TypeError:
        return Any


def is_unknown(form: object) -> bool:
    """True for what says nothing that could be held against anybody."""
    if form is None or form is Any or form is inspect.Parameter.empty or isinstance(form, ForwardRef):
        return form is not None
    if isinstance(form, type):
        return Any in form.__mro__ or form.__module__.startswith("unittest.mock")
    return type(form).__name__ in _VARIABLES or type(form).__module__ not in _TYPING


def members_of(form: object) -> tuple[object, ...]:
    """The members of a union and of a literal; else the type alone."""
    form = plain(form)
    origin = get_origin(form)
    if origin is Union or origin is types.UnionType:
        return tuple(member for each in get_args(form) for member in members_of(each))
    if origin is Literal:
        return tuple(Literal[each] for each in get_args(form))
    return (form,)


def is_typed_dict(form: object) -> bool:
    """True for the classes of typing and of typing_extensions alike."""
    return isinstance(form, type) and issubclass(form, dict) and hasattr(form, "__required_keys__")


def is_new_type(form: object) -> bool:
    """True for ``NewType("UserId", str)``."""
    return hasattr(form, "__supertype__") and not isinstance(form, type)


def class_and_arguments(form: object) -> tuple[type | None, Arguments]:
    """``dict`` and ``(str, int)`` of ``dict[str, int]``; no class if the form is none that we know."""
    origin = get_origin(form)
    if origin is None:
        return (form, None) if isinstance(form, type) else (None, None)
    if not isinstance(origin, type):
        return None, None
    arguments = get_args(form)
    # Tuple[()] and tuple[()] have no arguments and mean it; List has none and means list[Any].
    told = arguments or (origin is tuple and form is not typing.Tuple)  # noqa: UP006 - the form itself
    return origin, arguments if told else None


def arguments_as(cls: type, arguments: Arguments, target: type) -> Arguments:
    """What the type arguments of ``cls`` say about ``target``, one of its bases.

    >>> arguments_as(dict, (str, int), abc.Iterable), arguments_as(str, None, abc.Sequence)
    ((<class 'str'>,), (<class 'str'>,))
    """
    if cls is target:
        return arguments
    if target in _OF_ONE:
        element = element_of(cls, arguments)
        return _from_bases(cls, arguments, target) if element is None else (element[0],)
    if cls is collections.Counter and target in _OF_TWO and arguments:
        return (arguments[0], int)
    if cls in _OF_TWO and target in _OF_TWO:
        return arguments
    return _from_bases(cls, arguments, target)


def element_of(cls: type, arguments: Arguments) -> tuple[object] | None:
    """What iterating over a standard container gives; None if it is no such container or does not tell."""
    if cls in _ELEMENTS:
        return (_ELEMENTS[cls],)
    if arguments is None:
        return None
    if cls is tuple:
        elements = tuple(each for each in arguments if each is not Ellipsis)
        return (Union[elements],) if elements else None  # noqa: UP007 - of a tuple
    if cls is abc.ItemsView and len(arguments) == 2:
        return (tuple[arguments],)  # type: ignore[valid-type]
    if cls in _OF_ONE or cls in _OF_TWO or cls in (collections.Counter, abc.Generator):
        return (arguments[0],)
    return None


def _from_bases(cls: type, arguments: Arguments, target: type) -> Arguments:
    bases = vars(cls).get("__orig_bases__", cls.__bases__)
    # A class that is generic through dict[str, T] alone does not list its own parameters.
    free = dict.fromkeys(each for base in bases for each in getattr(base, "__parameters__", ()))
    parameters = getattr(cls, "__parameters__", tuple(free))
    bound = dict(zip(parameters, arguments or (), strict=False))
    for base in bases:
        written = substituted(base, bound)
        above, its_arguments = class_and_arguments(written)
        if above is None or above is object:
            continue
        if _is_subclass(above, target):
            return arguments_as(above, its_arguments, target)
    return None


def _is_subclass(cls: type, target: type) -> bool:
    try:
        return issubclass(cls, target)
    except TypeError:  # protocols, TypedDicts: whether they are is not for this function to know
        return False


def told(form: object) -> str:
    """A type as a person writes it."""
    if form is None or form is types.NoneType:
        return "None"
    origin, arguments = get_origin(form), get_args(form)
    if origin is Annotated:
        return told(form.__origin__)  # type: ignore[attr-defined]
    if origin is Union or origin is types.UnionType:
        return " | ".join(told(each) for each in arguments)
    if origin is Literal:
        return f"Literal[{', '.join(repr(each) for each in arguments)}]"
    if origin is not None and isinstance(origin, type):
        inside = ", ".join("..." if each is Ellipsis else told(each) for each in arguments)
        return f"{told(origin)}[{inside or '()'}]"
    if isinstance(form, type):
        return form.__qualname__.rpartition("<locals>.")[2]
    name = getattr(form, "__name__", None)
    return name if isinstance(name, str) and origin is None else repr(form).replace("typing.", "")
