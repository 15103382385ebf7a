"""How a value came to be: a closed set of eight words, and the value or the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from feature_graph.reasons import message_of

T = TypeVar("T")


class Status(StrEnum):
    """What became of a node in one run; the text is what a decision log keeps."""

    OK = "ok"
    """The node ran and gave a value."""
    FALLBACK = "fallback"
    """The fetch gave none, or some of its elements did not: what was declared for that, or an expired value,
    stands in. ``error`` says why."""
    GIVEN = "given"
    """The caller handed the value in."""
    FAILED = "failed"
    """The node itself raised."""
    TIMED_OUT = "timed_out"
    """The fetch's timeout or the run's deadline passed."""
    UPSTREAM_FAILED = "upstream_failed"
    """Something it needs has no value; ``root`` names the node where that began."""
    NOT_NEEDED = "not_needed"
    """Never demanded: outside the goals, on the untaken side of a branch, or of no use any more."""
    CANCELLED = "cancelled"
    """Begun and then stopped, because nobody waited for it any more or it cancelled itself."""


WITH_VALUE = (Status.OK, Status.FALLBACK, Status.GIVEN)
"""A tuple and not a set: members are found by identity, at once for the commonest."""


@dataclass(frozen=True)  # not slotted: Outcome[int](...) would raise on Python 3.11
class Outcome(Generic[T]):
    """What became of one node.

    A parameter annotated ``Outcome[T]`` receives this instead of the value, and its node runs whatever
    happened upstream.

    >>> Outcome(Status.OK, 0).has_value, Outcome(Status.FAILED, error=KeyError("k")).has_value
    (True, False)
    """

    status: Status
    value: T | None = None
    """Meaningful only if ``has_value``: None is a value like any other."""
    error: BaseException | None = None
    """Why there is no value, or why it is a fallback."""
    root: str | None = None
    """The node where the failure began (itself, unless ``upstream_failed``)."""
    via: str | None = None
    """The side that a branch took, or the choice that a ``first_of`` settled on."""
    notes: Mapping[str, object] = field(default_factory=dict, compare=False)
    """What the fetch told of itself: attempts, hedge won or lost, size of its batch, age of a stale value."""

    @property
    def has_value(self) -> bool:
        """True for ``ok``, ``fallback`` and ``given``."""
        return self.status in WITH_VALUE

    def describe(self) -> str:
        """One line for a person: status, root and cause."""
        where = f" at {self.root!r}" if self.root else ""
        why = f" ({type(self.error).__name__}: {message_of(self.error)})" if self.error is not None else ""
        return f"{self.status.value}{where}{why}"
