"""What both clients do alike: all that needs no waiting."""

from __future__ import annotations

import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from sidearm_client.answers import Decision, Lost
from sidearm_client.backlog import Backlog
from sidearm_client.errors import Unavailable
from sidearm_client.retrying import RETRIES, Attempts, Retries
from sidearm_client.settings import BATCHING, URL, Batching, Settings
from sidearm_client.wire import Arms, Body, Context, Limit, Told, decide_body, fallback_of, reward_body

USER_AGENT = "sidearm-client/0.1.0"


Transport = TypeVar("Transport")
Decided = TypeVar("Decided")


class Shared(ABC, Generic[Transport, Decided]):
    """Settings, what is told in the background, and what a decision is asked for with."""

    def __init__(
        self,
        url: str = URL,
        key: str = "",
        *,
        timeout_s: float = 1.0,
        retries: Retries = RETRIES,
        batching: Batching = BATCHING,
        fallback: Sequence[str] = (),
        sticky: bool = False,
        on_lost: Lost | None = None,
        transport: Transport | None = None,
    ) -> None:
        """A client.

        Args:
            url: of the service.
            key: an API key with the roles ``decide`` and ``reward``; ``read`` too for looking decisions up.
            timeout_s: for one call with all its retries, in seconds.
            retries: how often, after which pauses.
            batching: how rewards leave.
            fallback: arms to show, in this order, when the service cannot be reached.
            sticky: the application keeps what a session was given, so decisions have no keys of their own.
            on_lost: called with the body and the error of each reward or activation that could not be told.
            transport: what httpx sends by; its own over TCP when left out.

        Raises:
            ValueError: one of them cannot be used.
        """
        self.settings = Settings(url, key, timeout_s, retries, batching, fallback, sticky)
        self._backlog = Backlog(batching, on_lost)
        self._transport = transport
        self._share: Callable[[], float] = random.random
        self._clock: Callable[[], float] = time.monotonic
        self.fell_back = 0
        """Decisions that this client made by itself."""
        self._open()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Any) -> Self:  # noqa: ANN401  # as the constructor
        """A client as ``SIDEARM_URL``, ``SIDEARM_KEY`` and the like say: see :meth:`Settings.from_env`.

        Args:
            environ: instead of the process's environment.
            options: further arguments of the client.

        Raises:
            ValueError: one of them cannot be used.
        """
        found = Settings.from_env(os.environ if environ is None else environ)
        said = {"timeout_s": found.timeout_s, "fallback": found.fallback, **options}
        return cls(found.url, found.key, **said)

    def decide(
        self,
        session_id: str,
        *,
        context: Context | None = None,
        arms: Arms | None = None,
        exclude: Sequence[str] = (),
        limit: Limit = 1,
        unit_id: str | None = None,
        deadline_ms: int | None = None,
        horizon_s: float | None = None,
        deferred: bool = False,
        decision_id: str | None = None,
        fallback: Sequence[str] | None = None,
        timeout_s: float | None = None,
    ) -> Decided:
        """Ask which arm to show a session; an answer always comes where there is an arm to fall back to.

        ``Client`` answers with the decision; what ``AsyncClient`` answers is awaited, or entered.

        Args:
            session_id: whom.
            context: name to text, number or boolean.
            arms: candidates; the whole catalogue when left out.
            exclude: arms that must not be chosen.
            limit: how many are to be shown at once; ``"all"``: one, and the ranking has every arm.
            unit_id: unit of randomisation; the session when left out.
            deadline_ms: by when the service is to have its scores.
            horizon_s: how long the decision waits for its rewards.
            deferred: it may never be shown: it counts only when it was activated.
            decision_id: a key of your own inside the session; made where none is given.
            fallback: instead of the client's.
            timeout_s: instead of the client's.

        Raises:
            Refused: the service said no.
            Unavailable: it cannot be reached, and there is no arm to fall back to.
            ValueError: NaN or Infinity in the context.
        """
        fields: Body = {
            "unit_id": unit_id,
            "context": context,
            "arms": None if arms is None else list(arms),
            "exclude": list(exclude) or None,
            "limit": None if limit == 1 else limit,
            "deadline_ms": deadline_ms,
            "horizon_s": horizon_s,
            "deferred": deferred or None,
        }
        body = decide_body(session_id, self.settings.sticky, decision_id, fields)
        return self._decided(
            body, self.settings.fallback if fallback is None else fallback, deferred, timeout_s
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of rewards and activations, by the service's word, such as ``accepted`` and ``late``.

        And how many were ``refused`` by it, or ``lost`` here.
        """
        return dict(self._backlog.counts)

    @property
    def waiting(self) -> int:
        """Rewards and activations that were not told yet."""
        return len(self._backlog)

    def reward(
        self,
        value: float | None = None,
        *,
        decision_id: str | None = None,
        session_id: str | None = None,
        event: str | None = None,
        arm: str | None = None,
        reward_id: str | None = None,
        occurred_at: datetime | str | None = None,
    ) -> bool:
        """Say what came of a decision, or of a session's last one: in the background, under a key.

        Args:
            value: the reward; where it is left out, the value of ``event``.
            decision_id: of the decision.
            session_id: of the session, where the decision is not known.
            event: of the application's table.
            arm: which of several arms earned it.
            reward_id: its key, such as the order's number: twice counts once. Made if not given.
            occurred_at: when it happened, with a zone.

        Returns:
            False: too much waits already; it is lost, counted, and told to ``on_lost``.

        Raises:
            ValueError: neither value nor event, no finite number, nobody named, a time without a zone.
        """
        return self._take(
            Told(reward_body(value, decision_id, session_id, event, arm, reward_id, occurred_at))
        )

    def activate(self, decision_id: str) -> bool:
        """Say that a deferred decision was shown: in the background. False as for :meth:`reward`."""
        return self._take(Told(None, decision_id))

    @abstractmethod
    def _open(self) -> None:
        """Make what sends."""

    @abstractmethod
    def _decided(
        self, body: Body, ranking: Sequence[str], deferred: bool, timeout_s: float | None
    ) -> Decided:
        """What comes of a request for a decision; ``ranking``: what to fall back to."""

    def _fall_back(
        self, body: Body, ranking: Sequence[str], failure: Unavailable, deferred: bool
    ) -> Decision:
        made = fallback_of(body, ranking, failure, deferred, self)
        self.fell_back += 1
        return made

    @abstractmethod
    def _take(self, told: Told) -> bool:
        """Put it into the backlog, and see to it that somebody sends it."""

    def _attempts(self, timeout_s: float | None) -> Attempts:
        settings = self.settings
        return Attempts(settings.retries, timeout_s or settings.timeout_s, self._clock, self._share)

    def _headers(self) -> dict[str, str]:
        headers = {"user-agent": USER_AGENT, "content-type": "application/json"}
        if self.settings.key:
            headers["authorization"] = f"Bearer {self.settings.key}"
        return headers
