"""Requests that are all here: answered without a task each, from the end of the batch that they went into."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext

from decision_service.admission import Admission, Rank
from decision_service.asgi import Send
from decision_service.endpoint import Tell
from decision_service.problem import HttpAnswer
from decision_service.request_ids import request_id_of, under
from decision_service.responding import AtOnce, head_of, respond
from decision_service.telemetry import Telemetry

Begin = Callable[[Tell], None]
"""Begins with a request; what it raises, ``Tell`` is told."""
Refuse = Callable[[BaseException], HttpAnswer]


class Expressed:
    """Takes a place for each, sends what it comes to, and counts it; belongs to one event loop.

    Args:
        admission: has the places.
        telemetry: counts.
        stopping: whether answers close their connections.
    """

    def __init__(self, admission: Admission, telemetry: Telemetry, stopping: Callable[[], bool]) -> None:
        self._admission, self._telemetry, self._stopping = admission, telemetry, stopping
        self._slow: set[asyncio.Task[None]] = set()
        """Answers that a client is slow to take."""

    def take(
        self,
        name: str,
        rank: Rank,
        begin: Begin,
        refuse: Refuse,
        headers: Iterable[tuple[bytes, bytes]],
        at_once: AtOnce,
        send: Send,
    ) -> bool:
        """Whether there is a place for a request; then it is on its way."""
        if not self._admission.enter(rank):
            return False
        tracing = self._telemetry.tracing
        traced = None if tracing is None else tracing.request(name, headers)
        started, request_id = time.perf_counter(), request_id_of(headers)

        def tell(said: HttpAnswer | BaseException) -> None:
            self._admission.leave()
            answer = said if isinstance(said, HttpAnswer) else refuse(said)
            if request_id:
                answer = under(request_id, answer)
            if not at_once(answer.status, head_of(answer, closing=self._stopping()), answer.body):
                self._send_slowly(send, answer)
            self._telemetry.answered(name, answer.status, time.perf_counter() - started)
            if traced is not None:
                traced.end(answer.status)

        try:
            with nullcontext() if traced is None else traced.current():
                begin(tell)
        except Exception as error:
            tell(error)
        return True

    def _send_slowly(self, send: Send, answer: HttpAnswer) -> None:
        """To a client that does not take it at one go."""
        task = asyncio.get_running_loop().create_task(respond(send, answer, closing=self._stopping()))
        self._slow.add(task)
        task.add_done_callback(self._slow.discard)
