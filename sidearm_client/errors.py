"""What can go wrong, as one tree.

::

    ClientError
    ├── Refused      the service said no, and would again: a wrong key, a field at fault, a key used twice
    └── Unavailable  no answer, or not now: the connection failed, or the service is overloaded or ill
"""

from __future__ import annotations

from sidearm_client.answers import Problem


class ClientError(Exception):
    """Root of what the client raises."""

    problem: Problem | None = None
    """What the service answered (RFC 9457); None where there was no answer."""


class Refused(ClientError):
    """The service said no. Asking the same again is of no use."""

    problem: Problem

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Unavailable(ClientError):
    """No answer in time, or one that may differ later; ``__cause__`` has the error of the transport."""

    def __init__(self, said: str, problem: Problem | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(said)
        self.problem = problem
        self.retry_after_s = retry_after_s
        """How long the service asked to be left alone."""
