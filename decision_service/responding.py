"""How an answer leaves: in one piece where it can."""

from __future__ import annotations

from collections.abc import Callable

from decision_service.asgi import Send
from decision_service.problem import HttpAnswer

_CLOSING = ((b"connection", b"close"),)
AtOnce = Callable[[int, list[tuple[bytes, bytes]], bytes], bool]
"""Sends an answer in one piece; False where it has to go the longer way."""


def head_of(answer: HttpAnswer, *, closing: bool) -> list[tuple[bytes, bytes]]:
    """Its headers."""
    return [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
        *(_CLOSING if closing else ()),
    ]


async def respond(
    send: Send,
    answer: HttpAnswer,
    *,
    closing: bool = False,
    at_once: AtOnce | None = None,
) -> None:
    """Send ``answer``, the last one on its connection if ``closing``."""
    headers = head_of(answer, closing=closing)
    if at_once is not None and at_once(answer.status, headers, answer.body):
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
