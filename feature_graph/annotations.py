"""What a function says about its types, read without trusting that every name in it exists.

A name that only type checkers import, or that a function's own scope hides, is ``Any``: whoever asks has to
live with not knowing, and must never be told a wrong type.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, ForwardRef

_WRAPPERS = 64
"""How many decorators and partials are looked through; more are a ring, or beyond a reader too."""


class Annotations:
    """Annotations of functions and TypedDicts, each evaluated once."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[object, Mapping[str, object]]] = {}
        self._evaluated: dict[tuple[int, str], object] = {}

    def parameter(self, function: Callable[..., Any], name: str) -> object:
        """The type that a parameter is annotated with; ``Any`` where that is not known."""
        return self._all(function).get(name, Any)

    def returns(self, function: Callable[..., Any]) -> object:
        """The type that a function is annotated to return (awaited, if it is async), or ``Any``."""
        return self._all(function).get("return", Any)

    def fields(self, typed_dict: type) -> Mapping[str, object]:
        """Key to type of a TypedDict, ``Required`` and the like included."""
        known = self._of.get(id(typed_dict))
        if known is None:
            known = self._of[id(typed_dict)] = (typed_dict, _fields(typed_dict))
        return known[1]

    def _all(self, function: Callable[..., Any]) -> Mapping[str, object]:
        known = self._of.get(id(function))
        if known is None:  # the function is kept too, so that its id stays its own
            known = self._of[id(function)] = (function, self._read(function))
        return known[1]

    def _read(self, function: Callable[..., Any]) -> dict[str, object]:
        inner = _annotated(function)
        scope: _Scope | None = None
        found: dict[str, object] = {}
        for name, written in _written(function, inner).items():
            if not isinstance(written, str):
                found[name] = written
            elif (key := (id(getattr(inner, "__globals__", None)), written)) in self._evaluated:
                found[name] = self._evaluated[key]
            else:
                scope = _scope_of(inner) if scope is None else scope
                found[name] = _evaluate(written, scope)
                if scope.is_module:
                    self._evaluated[key] = found[name]
        if isinstance(function, type):
            found["return"] = _made_by(function)
        return found


class _Scope(dict[str, object]):
    """Names that an annotation sees before those of its module."""

    def __init__(
        self, known: Mapping[str, object], module: dict[str, object], hidden: frozenset[str] | None
    ) -> None:
        super().__init__(known)
        self.module = module
        self._hidden = hidden
        """Names that an enclosing function may have of its own; None: perhaps any."""
        self.is_module = not known and hidden is not None and not hidden

    def __missing__(self, name: str) -> object:
        """Called for each name that is not known here; a KeyError sends the reader on to the module."""
        hidden = name in self.module if self._hidden is None else name in self._hidden
        if hidden or not (name in self.module or hasattr(builtins, name)):
            return Any
        raise KeyError(name)


def _evaluate(written: str, scope: _Scope) -> object:
    try:
        meant = eval(f"({written})", scope.module, scope)  # noqa: S307 - the function's own source
    except Exception:
        return Any
    return Any if isinstance(meant, str) else meant


def _annotated(function: object) -> object:
    """The function whose annotations count: behind partials, methods, decorators and ``__call__``."""
    for _ in range(_WRAPPERS):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif isinstance(function, type):
            function = function.__init__  # type: ignore[misc]
        elif (wrapped := getattr(function, "__wrapped__", None)) is not None:
            function = wrapped
        elif isinstance(function, types.FunctionType):
            return function
        else:
            function = getattr(type(function), "__call__", None)  # noqa: B004 - not to test, to look at it
    return None


def _written(function: object, inner: object) -> Mapping[str, object]:
    """Annotations as they stand in the source: types or texts."""
    outer = function.func if isinstance(function, functools.partial) else function
    signature = getattr(outer, "__signature__", None)
    if isinstance(signature, inspect.Signature):  # a decorator's own word on what it made
        named = {each.name: each.annotation for each in signature.parameters.values()}
        named["return"] = signature.return_annotation
        return {name: written for name, written in named.items() if written is not inspect.Signature.empty}
    written = getattr(inner, "__annotations__", None)
    return written if isinstance(written, dict) else {}


def _made_by(cls: type) -> object:
    """An instance, unless the class makes something else when it is called."""
    own = getattr(cls, "__new__", None), getattr(type(cls), "__call__", None)  # noqa: B004 - to look at it
    return cls if own == (object.__new__, type.__call__) else Any


def _fields(typed_dict: type) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, written in getattr(typed_dict, "__annotations__", {}).items():
        if isinstance(written, ForwardRef):
            home = written.__forward_module__ or typed_dict.__module__
            module = _names_of(getattr(home, "__name__", home))
            hidden = _hidden_names(typed_dict.__qualname__, module)
            written = _evaluate(written.__forward_arg__, _Scope(_type_parameters(typed_dict), module, hidden))
        found[name] = written
    return found


def _names_of(module: str) -> dict[str, object]:
    return vars(sys.modules[module]) if module in sys.modules else {}


def _scope_of(function: object) -> _Scope:
    if not isinstance(function, types.FunctionType):
        return _Scope({}, {}, None)
    module = function.__globals__
    known = {**_class_names(function), **_type_parameters(function), **_closure(function)}
    return _Scope(known, module, _hidden_names(function.__qualname__, module))


def _closure(function: types.FunctionType) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # assigned later, if ever
            found[name] = Any
    return found


def _class_names(function: types.FunctionType) -> dict[str, object]:
    """What the class around a method defines; a method of a local class has to do without."""
    path = function.__qualname__.split(".")[:-1]
    if not path or "<locals>" in path:
        return {}
    outer: object = function.__globals__.get(path[0])
    for name in path[1:]:
        outer = getattr(outer, name, None)
    return {**vars(outer), **_type_parameters(outer)} if isinstance(outer, type) else {}


def _type_parameters(owner: object) -> dict[str, object]:
    """``T`` of ``def f[T](…)`` and ``class C[T]`` (Python 3.12)."""
    return {each.__name__: each for each in getattr(owner, "__type_params__", ())}


def _hidden_names(qualname: str, module: Mapping[str, object]) -> frozenset[str] | None:
    """Local names of the functions around a local function: they hide the module's, and cannot be seen.

    Returns:
        The names, or None if those functions are not found.
    """
    path = qualname.split(".")[:-1]
    if "<locals>" not in path:
        return frozenset()
    first = path.index("<locals>")
    outer = module.get(path[0])
    for name in path[1:first]:
        outer = getattr(outer, name, None)
    code = getattr(_annotated(outer), "__code__", None)
    if not isinstance(code, types.CodeType) or code.co_name != path[first - 1]:
        return None
    around, names = [code], set(_locals_of(code))
    for name in path[first + 1 :]:
        if name != "<locals>":
            inside = [each for one in around for each in one.co_consts if isinstance(each, types.CodeType)]
            around = [each for each in inside if each.co_name == name]
            names.update(*(_locals_of(each) for each in around))
    return frozenset(names)


def _locals_of(code: types.CodeType) -> tuple[str, ...]:
    """Of a function its variables; of a class body, which has none, all names that it mentions."""
    is_function = code.co_flags & inspect.CO_NEWLOCALS
    return code.co_varnames + code.co_cellvars + (() if is_function else code.co_names)
