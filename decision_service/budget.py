"""How a request's deadline is shared out: features and scores first, then the log, then what is left.

The log's part is small, since it usually takes a millisecond or two; when the store does not answer within
it, the decision is written down beside the service, which takes as long again.
"""

from __future__ import annotations

from typing import NamedTuple

_LOG_SHARE, _LOG_MS = 0.3, 15.0
"""Kept for the log and what comes after: a share of the deadline, and no more than that."""
_SPOOL_SHARE, _SPOOL_MS = 0.1, 5.0
"""Of it for the spool."""
_LEAST_SHARE, _LEAST_MS = 0.5, 20.0
"""What the store is given in any case, however late it is asked: to be slow is no reason to write twice."""


class Budget(NamedTuple):
    """When the parts of a deadline end, on the clock of its start, in seconds."""

    deadline_at: float
    score_by: float
    """By when features and scores must be there."""
    log_by: float
    """By when the store must have heard of the decision."""
    least_log_s: float
    """How long it is waited for at least."""

    def log_time_left(self, now_s: float) -> float:
        """How long the store is waited for from now on, in seconds."""
        return max(self.log_by - now_s, self.least_log_s)


def budget_of(started_s: float, deadline_ms: float) -> Budget:
    """The parts of a deadline.

    >>> budget_of(0.0, 50)
    Budget(deadline_at=0.05, score_by=0.035, log_by=0.045, least_log_s=0.02)
    >>> budget_of(1.0, 1000)
    Budget(deadline_at=2.0, score_by=1.985, log_by=1.995, least_log_s=0.02)
    """
    log_ms, spool_ms = min(_LOG_SHARE * deadline_ms, _LOG_MS), min(_SPOOL_SHARE * deadline_ms, _SPOOL_MS)
    least_ms = min(_LEAST_SHARE * deadline_ms, _LEAST_MS)
    return Budget(
        started_s + deadline_ms / 1000,
        started_s + (deadline_ms - log_ms) / 1000,
        started_s + (deadline_ms - spool_ms) / 1000,
        least_ms / 1000,
    )
