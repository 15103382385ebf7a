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
    """Parts of a deadline, in seconds from the start of the request."""

    score_s: float
    """By when features and scores must be there."""
    log_s: float
    """By when the store must have heard of the decision."""
    least_log_s: float
    """How long it is waited for at least."""


def budget_of(deadline_ms: float) -> Budget:
    """The parts of a deadline.

    >>> budget_of(50)
    Budget(score_s=0.035, log_s=0.045, least_log_s=0.02)
    >>> budget_of(1000)
    Budget(score_s=0.985, log_s=0.995, least_log_s=0.02)
    """
    log_ms, spool_ms = min(_LOG_SHARE * deadline_ms, _LOG_MS), min(_SPOOL_SHARE * deadline_ms, _SPOOL_MS)
    least_ms = min(_LEAST_SHARE * deadline_ms, _LEAST_MS)
    return Budget((deadline_ms - log_ms) / 1000, (deadline_ms - spool_ms) / 1000, least_ms / 1000)
