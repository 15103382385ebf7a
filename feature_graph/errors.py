"""What this package refuses or reports, as one tree.

::

    FeatureGraphError
    ├── BadGraph             the graph is wrong: raised by ``Graph(...)``, every problem in one message
    ├── BadRun               ``resolve`` was asked for what this graph cannot answer (goal, input, deadline)
    ├── BadRecording         a recording that cannot be written or read back
    ├── CannotMeet           a goal may take longer than the deadline that it is to meet
    ├── NoValue              a goal that has no value was read from a resolution
    ├── ResolutionError      a required goal has no value; carries the partial resolution
    └── FetchError           why a fetch has no value; found in ``Outcome.error``, never raised at the caller
        ├── FetchTimedOut    the fetch's own timeout passed (also a ``TimeoutError``)
        │   ├── DeadlinePassed   the run's deadline passed first
        │   └── AttemptTimedOut  one attempt took longer than it may (in ``guards``)
        ├── FetchCancelled   the fetch ended by a cancellation that was not ours
        ├── TransientError   raised by a fetch to say that trying again may help
        ├── Overloaded       its source has as many calls under way and waiting as it may
        ├── BreakerOpen      its source failed so often that it is left alone for a while
        ├── KeyMissing       a batch gave no value for the key (also a ``KeyError``)
        ├── BadBatch         a batch gave something that is no mapping, or its key cannot be one
        ├── ElementFailed    an element of an ``each`` has no value; ``__cause__`` says why
        ├── NotRecorded      a replay needs what its recording does not hold
        ├── Recorded         an error that was recorded, of a type that is not ours nor Python's
        ├── SwitchedOff      the source was switched off, for a test or an experiment
        └── NotAValue        a derived node gave an awaitable: it should be ``async def``

What a fetch or a derived node raises by itself is kept as it is, in ``Outcome.error``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feature_graph.resolution import Resolution


class FeatureGraphError(Exception):
    """Root of everything this package raises on purpose."""


class BadGraph(FeatureGraphError, ValueError):
    """The graph cannot be built.

    Attributes:
        problems: one sentence each, with the places in the source that disagree.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__(problems)

    def __str__(self) -> str:
        return "the graph cannot be built:" + "".join(f"\n  - {problem}" for problem in self.problems)


class BadRun(FeatureGraphError, ValueError):
    """A goal, an input or a deadline that this graph cannot work with."""


class BadRecording(FeatureGraphError, ValueError):
    """A value that JSON has no form for, or text that is no recording."""


class CannotMeet(FeatureGraphError):
    """Goals may take longer than the deadline that they are to meet; the message names the paths."""


class NoValue(FeatureGraphError, KeyError):
    """The goal has no value; the message says why."""

    def __str__(self) -> str:
        return str(self.args[0])


class ResolutionError(FeatureGraphError):
    """A required goal has no value.

    Attributes:
        goal: the goal that was required.
        resolution: everything else that the run found.
    """

    def __init__(self, message: str, goal: str, resolution: Resolution) -> None:
        self.goal = goal
        self.resolution = resolution
        super().__init__(message)

    def __reduce__(self) -> tuple[type[ResolutionError], tuple[object, ...]]:
        return type(self), (*self.args, self.goal, self.resolution)


class FetchError(FeatureGraphError):
    """Why a fetch has no value of its own."""


class FetchTimedOut(FetchError, TimeoutError):
    """The fetch's own timeout passed."""


class DeadlinePassed(FetchTimedOut):
    """The run's deadline passed before the fetch ended, or before it began."""


class FetchCancelled(FetchError):
    """The fetch ended by a cancellation that came from neither this run nor its caller."""


class TransientError(FetchError):
    """Raise it in a fetch, or derive from it, when trying again may help."""


class Overloaded(FetchError):
    """The source has as many calls under way and waiting as it may have."""


class BreakerOpen(FetchError):
    """The source failed so often that it is not asked for a while."""


class KeyMissing(FetchError, KeyError):
    """The batch gave no value for this key."""

    def __str__(self) -> str:
        return str(self.args[0])


class BadBatch(FetchError, TypeError):
    """What a batch gave is no mapping, or a key cannot be one."""


class ElementFailed(FetchError):
    """An element of an ``each`` has no value.

    Attributes:
        position: its place in the sequence.
    """

    def __init__(self, message: str, position: int) -> None:
        self.position = position
        super().__init__(message)

    def __reduce__(self) -> tuple[type[ElementFailed], tuple[object, ...]]:
        return type(self), (*self.args, self.position)


class NotRecorded(FetchError):
    """A replay fetches nothing, and its recording does not say what this node gave."""


class Recorded(FetchError):
    """Stands for an error whose type cannot be made again.

    Attributes:
        kind: the type's name with its module.
    """

    def __init__(self, message: str, kind: str) -> None:
        self.kind = kind
        super().__init__(message)

    def __reduce__(self) -> tuple[type[Recorded], tuple[object, ...]]:
        return type(self), (*self.args, self.kind)


class SwitchedOff(FetchError):
    """The source was switched off by :func:`feature_graph.impact.without`."""


class NotAValue(FetchError, TypeError):
    """A derived node returned an awaitable instead of a value."""
