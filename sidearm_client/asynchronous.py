"""The client for asyncio: the twin of ``synchronous.py``, method by method."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from sidearm_client.answers import Decision, Receipt
from sidearm_client.errors import Unavailable
from sidearm_client.shared import Shared
from sidearm_client.task import TaskSender
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


class Asking:
    """A decision that is asked for when somebody awaits it, or enters it with ``async with``."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Decision]]) -> None:
        self._ask = ask
        self._decision: Decision | None = None

    def __await__(self) -> Generator[Any, Any, Decision]:
        return self._ask().__await__()

    async def __aenter__(self) -> Decision:
        self._decision = await self._ask()
        return self._decision.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._decision is not None:
            self._decision.__exit__(kind, error, trace)


class AsyncClient(Shared[httpx.AsyncBaseTransport, Asking]):
    """Asks and tells; belongs to one event loop, whose tasks may share it."""

    def _decided(self, body: Body, ranking: Sequence[str], deferred: bool, timeout_s: float | None) -> Asking:
        return Asking(lambda: self._decide(body, ranking, deferred, timeout_s))

    async def _decide(
        self, body: Body, ranking: Sequence[str], deferred: bool, timeout_s: float | None
    ) -> Decision:
        try:
            return decision_in(await self._exchange(post(RECOMMEND, body), timeout_s), deferred, self)
        except Unavailable as failure:
            return self._fall_back(body, ranking, failure, deferred)

    async def reward_now(
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
        return receipt_in(await self._exchange(post(REWARD, body), timeout_s))

    async def decision(self, decision_id: str) -> dict[str, Any]:
        """What was decided, why, and what came of it; needs the role ``read``.

        Raises:
            Refused, Unavailable: as ever.
        """
        return await self._exchange(look_up_call(decision_id))

    async def explanation(self, decision_id: str) -> dict[str, Any]:
        """Why that arm; needs the role ``read``.

        Raises:
            Refused, Unavailable: as ever.
        """
        return await self._exchange(look_up_call(decision_id, "/explanation"))

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """Tell all that waits, now; whether all of it was, within ``timeout_s`` seconds."""
        return await self._sender.flush(timeout_s)

    async def close(self) -> None:
        """Tell what waits, for ``batching.close_s`` seconds at most, and hang up. Again is no harm."""
        await self._sender.close(self.settings.batching.close_s)
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _open(self) -> None:
        self._http = httpx.AsyncClient(
            base_url=self.settings.url, headers=self._headers(), transport=self._transport
        )
        self._sender = TaskSender(self._backlog, self.settings.batching, self._exchange)

    def _take(self, told: Told) -> bool:
        return self._sender.add(told)

    async def _exchange(self, call: Call, timeout_s: float | None = None) -> Body:
        attempts = self._attempts(timeout_s)
        while True:
            try:
                async with asyncio.timeout(attempts.left_s()):  # httpx's own are each for one read, one write
                    response = await self._http.request(
                        call.method, call.path, content=call.content, timeout=None
                    )
            except (httpx.TransportError, TimeoutError) as error:
                failure = unreachable(error)
            else:
                refused = failure_of(response)
                if refused is None:
                    return answer_of(response)
                failure = refused
            await asyncio.sleep(attempts.pause_s(failure))
