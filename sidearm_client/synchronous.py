"""The client for threads."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from sidearm_client.answers import Decision, Lost, Receipt
from sidearm_client.backlog import Backlog
from sidearm_client.errors import Unavailable
from sidearm_client.retrying import RETRIES, Retries
from sidearm_client.settings import BATCHING, URL, Batching
from sidearm_client.shared import Shared
from sidearm_client.thread import ThreadSender
from sidearm_client.wire import (
    RECOMMEND,
    REWARD,
    Arms,
    Body,
    Call,
    Context,
    Limit,
    Told,
    answer_of,
    decision_in,
    failure_of,
    fallback_of,
    look_up_call,
    post,
    receipt_in,
    reward_body,
    unreachable,
)


class Client(Shared):
    """Asks and tells; any number of threads may share it, and it may be made before a process forks.

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
    """

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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(
            url,
            key,
            timeout_s=timeout_s,
            retries=retries,
            batching=batching,
            fallback=fallback,
            sticky=sticky,
            on_lost=on_lost,
        )
        self._transport, self._on_lost = transport, on_lost
        self._open()
        _open.add(self)

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
    ) -> Decision:
        """Ask which arm to show a session; an answer always comes where there is an arm to fall back to.

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
        body = self._decide_body(
            session_id,
            decision_id,
            context,
            arms,
            exclude,
            limit,
            unit_id,
            deadline_ms,
            horizon_s,
            deferred,
        )
        try:
            return decision_in(self._exchange(post(RECOMMEND, body), timeout_s), deferred, self)
        except Unavailable as failure:
            ranking = self.settings.fallback if fallback is None else fallback
            made = fallback_of(body, ranking, failure, deferred, self)
            self.fell_back += 1
            return made

    def reward_now(
        self,
        value: float | None = None,
        *,
        decision_id: str | None = None,
        session_id: str | None = None,
        event: str | None = None,
        arm: str | None = None,
        reward_id: str | None = None,
        occurred_at: datetime | str | None = None,
        timeout_s: float | None = None,
    ) -> Receipt:
        """Say what came of a decision, and wait for what became of that; as :meth:`reward` otherwise.

        Raises:
            Refused: the service said no.
            Unavailable: it cannot be reached; sending the same again, with the same ``reward_id``, is safe.
            ValueError: as :meth:`reward`.
        """
        body = reward_body(value, decision_id, session_id, event, arm, reward_id, occurred_at)
        return receipt_in(self._exchange(post(REWARD, body), timeout_s))

    def decision(self, decision_id: str) -> dict[str, Any]:
        """What was decided, why, and what came of it; needs the role ``read``.

        Raises:
            Refused, Unavailable: as ever.
        """
        return self._exchange(look_up_call(decision_id))

    def explanation(self, decision_id: str) -> dict[str, Any]:
        """Why that arm; needs the role ``read``.

        Raises:
            Refused, Unavailable: as ever.
        """
        return self._exchange(look_up_call(decision_id, "/explanation"))

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Tell all that waits, now; whether all of it was, within ``timeout_s`` seconds."""
        return self._sender.flush(timeout_s)

    def close(self) -> None:
        """Tell what waits, for ``batching.close_s`` seconds at most, and hang up. Again is no harm."""
        if self._pid == os.getpid():
            self._sender.close(self.settings.batching.close_s)
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._http = httpx.Client(
            base_url=self.settings.url, headers=self._headers(), transport=self._transport
        )
        self._sender = ThreadSender(self._backlog, self.settings.batching, self._exchange)

    def _after_fork(self) -> None:
        """A child has no threads, and neither its parent's connections nor what its parent will tell."""
        self._backlog = Backlog(self.settings.batching, self._on_lost)
        self._open()

    def _take(self, told: Told) -> bool:
        if self._pid != os.getpid():
            self._after_fork()
        return self._sender.add(told)

    def _exchange(self, call: Call, timeout_s: float | None = None) -> Body:
        if self._pid != os.getpid():
            self._after_fork()
        attempts = self._attempts(timeout_s)
        while True:
            try:
                response = self._http.request(
                    call.method, call.path, content=call.content, timeout=attempts.left_s()
                )
            except httpx.TransportError as error:
                failure = unreachable(error)
            else:
                if response.status_code < 400:
                    return answer_of(response)
                refused = failure_of(response)
                if not isinstance(refused, Unavailable):
                    raise refused
                failure = refused
            time.sleep(attempts.pause_s(failure))


_open: weakref.WeakSet[Client] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A process that ends tells what waits."""
    for client in list(_open):
        if client.waiting:
            client.close()
