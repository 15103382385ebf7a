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

from sidearm_client.answers import Decision, Receipt
from sidearm_client.deadline import one_deadline
from sidearm_client.errors import Unavailable
from sidearm_client.shared import Shared
from sidearm_client.thread import ThreadSender
from sidearm_client.wire import (
    RECOMMEND,
    REWARD,
    Body,
    Call,
    Told,
    answer_of,
    decision_in,
    failure_of,
    look_up_call,
    post,
    receipt_in,
    reward_body,
    unreachable,
)


class Client(Shared[httpx.BaseTransport, Decision]):
    """Asks and tells; any number of threads may share it, and it may be made before a process forks."""

    def _decided(
        self, body: Body, ranking: Sequence[str], deferred: bool, timeout_s: float | None
    ) -> Decision:
        try:
            return decision_in(self._exchange(post(RECOMMEND, body), timeout_s), deferred, self)
        except Unavailable as failure:
            return self._fall_back(body, ranking, failure, deferred)

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
        one_deadline(self._http)
        self._sender = ThreadSender(self._backlog, self.settings.batching, self._exchange)
        _clients.add(self)

    def _after_fork(self) -> None:
        """A child has no threads, and neither its parent's connections nor what its parent will tell."""
        self._backlog = self._backlog.emptied()
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
                refused = failure_of(response)
                if refused is None:
                    return answer_of(response)
                failure = refused
            time.sleep(attempts.pause_s(failure))


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A process that ends tells what waits."""
    for client in list(_clients):
        if client.waiting:
            client.close()
