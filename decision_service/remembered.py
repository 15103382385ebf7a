"""What this process answered last, by the names by which it may be asked for again.

The store knows better, and is asked whenever it can be. While it is away nobody else can say what a session
was given before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.scripts.decide import Decided, DecideStatus

Name = tuple[str, str]
"""Session, and the client's key or what the session keeps."""

KEY, KEPT = "k:", "t:"

MOST_BYTES = 16 * 1024 * 1024
_BESIDE_BYTES = 400
"""What an entry takes beside its decision, about."""
_STANDS = frozenset({DecideStatus.OK, DecideStatus.DUP, DecideStatus.FIN})


class _Given(Struct, frozen=True):
    decided: Decided
    digest: str
    at_ms: int
    size: int


class Remembered:
    """Bounded: the oldest are forgotten first.

    Args:
        sticky_ms: how long a session keeps what it was given.
        now_ms: wall clock.
        most_bytes: of decisions, together.
    """

    def __init__(self, sticky_ms: int, now_ms: Callable[[], int], most_bytes: int = MOST_BYTES) -> None:
        self._sticky_ms, self._now_ms, self._left = sticky_ms, now_ms, most_bytes
        self._given: OrderedDict[Name, _Given] = OrderedDict()

    def note(self, event: DecisionEvent, kept_as: str, decided: Decided, payload: bytes) -> None:
        """``event`` was asked for, and ``decided`` is what stands; ``payload`` is ``event`` as stored."""
        names = names_of(event, kept_as if self._sticky_ms else "")
        stored = payload if decided.decision_id == event.decision_id else decided.payload
        if not names or not stored or decided.status not in _STANDS:
            return
        told = decided._replace(status=DecideStatus.DUP, payload=stored)
        for name in names:
            self._add(name, _Given(told, event.digest, self._now_ms(), len(stored) + _BESIDE_BYTES))

    def find(self, event: DecisionEvent, kept_as: str) -> Decided | None:
        """What was answered under the key of ``event``, or what its session keeps."""
        for name in names_of(event, kept_as):
            if (given := self._given.get(name)) is not None and not self._is_over(name, given):
                if given.digest != event.digest:
                    return Decided(DecideStatus.CONFLICT, given.decided.decision_id)
                return given.decided
        return None

    def _is_over(self, name: Name, given: _Given) -> bool:
        return name[1].startswith(KEPT) and self._now_ms() - given.at_ms >= self._sticky_ms

    def _add(self, name: Name, given: _Given) -> None:
        before = self._given.get(name)
        if before is not None and before.decided.decision_id == given.decided.decision_id:
            return  # a window begins with the decision, not with its repeats
        self._left -= given.size - (before.size if before else 0)
        self._given[name] = given
        self._given.move_to_end(name)
        while self._left < 0:
            self._left += self._given.popitem(last=False)[1].size


def names_of(event: DecisionEvent, kept_as: str) -> list[Name]:
    """By what else than its id a decision may be asked for.

    Args:
        event: the decision.
        kept_as: what its session asked for, if it keeps what it was given; else empty.
    """
    named = ((KEY, event.client_key), (KEPT, kept_as))
    return [(event.session_id, kind + name) for kind, name in named if name]
