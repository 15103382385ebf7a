"""What an evaluation refuses, as one tree.

::

    SidearmError
    └── EvaluationError
        ├── BadLog          no Parquet log there, a column missing, a catalogue missing
        ├── BadCandidate    a target policy that does not exist, or lacks what it needs
        ├── BadSums         sums that do not belong together
        ├── BadEngine       an engine that is not installed, does not start or does not answer
        └── BadInput        a table that cannot be scored

Bad *rows* raise nothing: they are counted by reason (``offline_eval.rejections``). An estimate that the data
cannot carry raises nothing either: it is withheld, with the reason in its place.
"""

from __future__ import annotations

from sidecar.contracts.errors import SidearmError


class EvaluationError(SidearmError, ValueError):
    """An evaluation that cannot be made."""


class BadLog(EvaluationError):
    """The Parquet log cannot be read, or is not one of ours."""


class BadCandidate(EvaluationError):
    """A target policy that does not exist, or lacks what it needs."""


class BadSums(EvaluationError):
    """Sums that cannot be merged because they were made with different clip limits."""


class BadEngine(EvaluationError):
    """An engine that is not installed, does not start or does not answer."""


class BadInput(EvaluationError):
    """A table that cannot be scored."""
