"""Why a node has no value, in words; and errors that point at the node's code and not at ours."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, CoroutineType, GeneratorType
from typing import Any, TypeVar

from feature_graph.errors import DeadlinePassed, FetchCancelled, FetchTimedOut, NotAValue

F = TypeVar("F", bound=Callable[..., Any])

_OURS: set[CodeType] = set()
_KEPT = 1000
plain_types: set[type] = set()
"""Types of values that were looked at and cannot be awaited; to be in here is quickly asked."""


def ours(function: F) -> F:
    """Mark a function of an engine that calls a node: tracebacks begin after it."""
    _OURS.add(function.__code__)
    return function


def without_our_frames(error: BaseException) -> BaseException:
    """Let the traceback begin in the node's code; our frames would also tie the error to the whole run."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code in _OURS:
        traceback = traceback.tb_next
    return BaseException.with_traceback(error, traceback)  # a frozen error takes no attribute, but this


def caused(error: BaseException, by: BaseException | None) -> BaseException:
    """The error, with what it followed on told."""
    if error is not by and error.__context__ is None:
        object.__setattr__(error, "__context__", by)  # even of one that is frozen
    return error


def message_of(error: BaseException) -> str:
    """The text of an error, whatever its ``__str__`` does."""
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} whose text cannot be had>"


def deadline_passed(name: str) -> DeadlinePassed:
    """The run's deadline did."""
    return DeadlinePassed(f"the run's deadline passed before {name!r} had a value")


def too_slow(name: str, timeout_s: float) -> FetchTimedOut:
    """The fetch's own timeout passed."""
    return FetchTimedOut(f"{name!r} took longer than {timeout_s} s")


def cancelled(name: str, cause: BaseException) -> FetchCancelled:
    """Somebody else ended it."""
    error = FetchCancelled(f"{name!r} was cancelled from inside or from elsewhere")
    error.__cause__ = cause
    return error


def can_be_awaited(value: object) -> bool:
    """True for a coroutine, a future, or what a client of HTTP returns in their place."""
    kind = type(value)
    if any("__await__" in vars(each) for each in kind.__mro__):
        return True
    if len(plain_types) < _KEPT and kind is not GeneratorType:
        plain_types.add(kind)
    return False


def not_a_value(name: str, value: object) -> NotAValue:
    """A derived node gave something to await."""
    if isinstance(value, CoroutineType):
        value.close()
    kind = type(value).__name__
    return NotAValue(f"{name!r} is a plain def and returned a {kind}; declare it async def to fetch")
