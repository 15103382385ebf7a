"""What waits to be told: rewards in batches, activations one by one; and what becomes of each."""

from __future__ import annotations

import logging
import re
from collections import Counter, deque
from collections.abc import Generator, Sequence
from typing import Any

from sidearm_client.answers import Lost
from sidearm_client.errors import ClientError, Refused
from sidearm_client.settings import Batching
from sidearm_client.wire import REWARDS, Call, Told, activate_call, post

log = logging.getLogger("sidearm_client")

_PLACE = re.compile(r"^/rewards/(\d+)(?:/|$)")


class Backlog:
    """First in, first out, bounded. Knows neither threads nor tasks.

    Args:
        batching: its bounds.
        on_lost: told of each that is given up.
    """

    def __init__(self, batching: Batching, on_lost: Lost | None = None) -> None:
        self._batching, self._on_lost = batching, on_lost
        self._waiting: deque[Told] = deque()
        self.counts: Counter[str] = Counter()
        """By the service's word for what became of it, and ``refused`` and ``lost``."""

    def emptied(self) -> Backlog:
        """Another one like it, in which nothing waits and nothing was counted."""
        return Backlog(self._batching, self._on_lost)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, told: Told) -> bool:
        """Take it, unless too much waits already."""
        if len(self._waiting) >= self._batching.backlog:
            self.lose([told], OverflowError(f"{len(self._waiting)} wait already"), "lost")
            return False
        self._waiting.append(told)
        return True

    @property
    def full(self) -> bool:
        """Whether there is a whole batch."""
        return len(self._waiting) >= self._batching.most

    def first(self) -> list[Told]:
        """The next to tell: one activation, or rewards up to a batch. They stay until :meth:`done`."""
        batch: list[Told] = []
        for told in self._waiting:
            if len(batch) == self._batching.most or (batch and (told.activated or batch[0].activated)):
                break
            batch.append(told)
        return batch

    def done(self, batch: Sequence[Told]) -> None:
        """They were told, or refused."""
        for _ in range(min(len(batch), len(self._waiting))):
            self._waiting.popleft()

    def give_up(self, why: Exception) -> None:
        """Nobody will be told of those that still wait."""
        self.lose(self._waiting, why, "lost")
        self._waiting.clear()

    def lose(self, batch: Sequence[Told] | deque[Told], why: Exception, word: str) -> None:
        """Count and say what could not be told."""
        if not batch:
            return
        self.counts[word] += len(batch)
        log.warning("%d %s could not be told: %s", len(batch), "rewards or activations", why)
        for told in batch if self._on_lost else ():
            self._tell_of(told, why)

    def _tell_of(self, told: Told, why: Exception) -> None:
        try:
            if self._on_lost:
                self._on_lost(told.body, why)
        except Exception:  # the application's own; others wait behind this one
            log.exception("on_lost failed")

    def telling(self, batch: Sequence[Told]) -> Generator[Call, Any, None]:
        """Yields calls; wants each one's answer, or the :class:`Refused` that it was.

        Of a batch with a reward at fault the service takes none: those that it names are left out, and the
        others sent again. Where it names none, halves find it.
        """
        if batch[0].activated:
            said = yield activate_call(batch[0].activated)
            self._count([said], batch)
            return
        wanted = [batch]
        while wanted:
            part = wanted.pop()
            said = yield post(REWARDS, {"rewards": [told.reward for told in part]})
            if isinstance(said, Refused):
                wanted += self._without_faults(part, said)
            else:
                self._count(said["rewards"], part)

    def _count(self, answers: Sequence[Any], batch: Sequence[Told]) -> None:
        for told, said in zip(batch, answers, strict=False):
            if isinstance(said, ClientError):
                self.lose([told], said, "refused")
            else:
                self.counts[said["status"]] += 1

    def _without_faults(self, part: Sequence[Told], said: Refused) -> list[Sequence[Told]]:
        faults = {int(m[1]) for one in said.problem.errors if (m := _PLACE.match(one.pointer))}
        if faults := {place for place in faults if place < len(part)}:
            self.lose([part[place] for place in sorted(faults)], said, "refused")
            left = [told for place, told in enumerate(part) if place not in faults]
            return [left] if left else []
        if len(part) == 1 or said.problem.status in (401, 403):
            self.lose(part, said, "refused")
            return []
        return [part[len(part) // 2 :], part[: len(part) // 2]]
