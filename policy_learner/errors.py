"""What the learner refuses, as one tree.

::

    SidearmError
    └── LearnerError
        ├── Fenced              another learner took over; this one must go
        ├── Overtaken           another learner published since this one loaded its state
        ├── BadCheckpoint       a checkpoint file is short, altered, or of another kind
        ├── BadBackup           a backup is not whole, or cannot be restored here
        │   └── NothingToBackUp     there is no checkpoint yet
        ├── CannotRebuild       the published weights cannot be had again from checkpoint and log
        │   └── BadBase             a model trained again from the log is not there, or not one to go on from
        ├── TrainerPoisoned     an example left state behind that is not finite
        │   └── ExampleKills        an example ended the process that runs VW, time and again
        ├── TrainerLost         the process that runs VW cannot be kept alive
        ├── BrokenChain         the log's files do not follow one another
        └── BadArchive          a row or file of the log is not what it claims to be

An example that cannot be trained on is not an error of the learner: it goes to the dead-letter stream with
its reason, and the loop goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.contracts.errors import SidearmError

if TYPE_CHECKING:
    from policy_learner.learning.vw_format import Foreseen


class LearnerError(SidearmError):
    """Root of what the learner raises on purpose."""


class Fenced(LearnerError):
    """A learner with a later epoch runs; this one may not publish any more."""


class Overtaken(LearnerError):
    """The store holds a version that this learner does not know: it must load its state again."""


class BadCheckpoint(LearnerError, ValueError):
    """A checkpoint file that must not be used."""


class BadBackup(LearnerError):
    """A backup that cannot be written, is not whole, or may not be restored here."""


class NothingToBackUp(BadBackup):
    """There is no checkpoint yet."""


class CannotRebuild(LearnerError):
    """Examples behind a published version are gone from the store and from the log."""


class BadBase(CannotRebuild):
    """A base that is not there, not whole, or not one that this learner can go on from."""


class TrainerPoisoned(LearnerError):
    """An example left a state behind that is not finite. The trainer was put back to just before it.

    Attributes:
        decision_id: of the example.
        place: its place among the examples of the call; those before it have been learned.
        expected: what was expected of those before it.
    """

    def __init__(self, decision_id: str, place: int, expected: Foreseen) -> None:
        super().__init__(f"{decision_id}, example {place} of its batch, left a state that is not finite")
        self.decision_id, self.place, self.expected = decision_id, place, expected


class ExampleKills(TrainerPoisoned):
    """An example ended the process that runs VW as often as it was allowed to. The trainer stands before it.

    Attributes:
        reason: how it ended.
    """

    def __init__(self, decision_id: str, place: int, expected: Foreseen, reason: str) -> None:
        super().__init__(decision_id, place, expected)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.decision_id}, example {self.place} of its batch, given up: VW's process {self.reason}"


class TrainerLost(LearnerError, OSError):
    """The process that runs VW ends whatever is done. Nothing is lost: a later attempt goes on from here."""


class BrokenChain(LearnerError):
    """A file of the log does not start where the one before it ended."""


class BadArchive(LearnerError, ValueError):
    """A row or a file of the log that is not what it claims to be."""
