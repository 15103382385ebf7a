"""Another attempt after an error that is declared transient, while time and the source's budget allow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from feature_graph.deadline import seconds_of
from feature_graph.errors import BadGraph, BadRun, TransientError
from feature_graph.guards.attempt import AttemptTimedOut, Call
from feature_graph.guards.clock import is_number
from feature_graph.guards.ending import is_cancelled, without_our_frames
from feature_graph.guards.source import Source
from feature_graph.scope import note


@dataclass(frozen=True, slots=True)
class Retry:
    """How a fetch is tried again.

    The pause before attempt ``n + 1`` is drawn from 0 to ``backoff * 2 ** (n - 1)`` seconds, at most
    ``max_backoff`` (full jitter), so that those who failed together do not come back together.

    Raises:
        BadGraph: a setting is out of its range.
    """

    on: tuple[type[Exception], ...] | type[Exception] = (TransientError,)
    """Errors that another attempt may cure; one cut off by ``attempt_timeout`` always is tried again."""
    attempts: int = 3
    """With the first."""
    backoff: float = 0.01
    max_backoff: float = 1.0
    attempt_timeout: float | timedelta | None = None
    """Seconds for one attempt, without the wait for a place."""

    def __post_init__(self) -> None:
        problems = []
        if not self.errors or not all(isinstance(e, type) and issubclass(e, Exception) for e in self.errors):
            problems.append(f"Retry: on is {self.on!r}; legal: classes derived from Exception")
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 2:
            problems.append(f"Retry: attempts is {self.attempts!r}; legal: a whole number from 2")
        problems += [
            f"Retry: {name} is {getattr(self, name)!r}; legal: seconds from 0"
            for name in ("backoff", "max_backoff")
            if not is_number(getattr(self, name), 0.0)
        ]
        try:
            if self.attempt_timeout_s is not None and self.attempt_timeout_s <= 0.0:
                problems.append(f"Retry: attempt_timeout is {self.attempt_timeout!r}; legal: above 0 s")
        except BadRun as error:
            problems.append(f"Retry: {error}")
        if problems:
            raise BadGraph(tuple(problems))

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """``on`` as a tuple."""
        return self.on if isinstance(self.on, tuple) else (self.on,)

    @property
    def attempt_timeout_s(self) -> float | None:
        """``attempt_timeout`` in seconds."""
        return seconds_of(self.attempt_timeout, "attempt_timeout")


class Retrying:
    """Makes attempts until one succeeds or another makes no sense."""

    __slots__ = ("_attempt", "_on", "_settings", "_source")

    def __init__(self, attempt: Call, source: Source, settings: Retry) -> None:
        self._attempt = attempt
        self._source = source
        self._settings = settings
        self._on: tuple[type[Exception], ...] = (*settings.errors, AttemptTimedOut)

    async def __call__(self, *args: object, **kwargs: object) -> object:
        """The first value, or the last error."""
        made = 0
        while True:
            made += 1
            try:
                value = await self._attempt(*args, **kwargs)
            except self._on as error:
                without_our_frames(error)
                pause_s = self._pause_s(made)
                if pause_s is None:
                    raise
                BaseException.with_traceback(error, None)  # it is dropped, and so is what its frames hold
            except BaseException as error:
                without_our_frames(error)
                note(attempts=made)
                raise
            else:
                note(attempts=made)
                return value
            await asyncio.sleep(pause_s)
            self._source.retrying()

    def _pause_s(self, made: int) -> float | None:
        """Seconds until the next attempt; None: there is none, and the notes say why."""
        note(attempts=made)
        settings, source = self._settings, self._source
        if made >= settings.attempts or is_cancelled():  # many a client makes an error of a cancellation
            return None
        if not source.may_retry():
            note(gave_up="budget")
            return None
        pause_s = source.random() * min(settings.max_backoff, settings.backoff * 2.0 ** (made - 1))
        if not source.time_is_left(pause_s):
            note(gave_up="time")
            return None
        return pause_s
