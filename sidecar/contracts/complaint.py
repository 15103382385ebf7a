"""A line of the log that is said when it is news, not at every look."""

from __future__ import annotations

import logging


class Complaint:
    """What is wrong just now.

    >>> wrong = Complaint(logging.getLogger("example"))
    >>> wrong.say("the store is away")
    >>> wrong.line
    'the store is away'
    >>> wrong.over()
    >>> wrong.line
    ''
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self.line = ""
        """Empty: nothing is."""

    def say(self, line: str) -> None:
        """Warn, if this is another line than the last one."""
        if line != self.line:
            self.line = line
            self._log.warning(line)

    def over(self) -> None:
        """Nothing is wrong any more."""
        self.line = ""
