"""What an ASGI server hands over: types, headers, and bodies that are counted as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, MutableMapping
from types import coroutine
from typing import Any

from decision_service.errors import BodyTooLarge

Scope = MutableMapping[str, Any]  # as the ASGI specification has it
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def header_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    """A header by its lower-case name; empty if it is not there."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return ""


async def body_in_time(
    receive: Receive, headers: Iterable[tuple[bytes, bytes]], limit_bytes: int, timeout_s: float
) -> bytes:
    """The body. It is here already more often than not: no clock is set then.

    Raises:
        As :func:`read_body`.
        TimeoutError: it did not come in time.
    """
    reading = read_body(receive, headers, limit_bytes)
    try:
        waits_for = reading.send(None)
    except StopIteration as done:
        body: bytes = done.value
        return body
    async with asyncio.timeout(timeout_s):
        return await _rest_of(reading, waits_for)


class Disconnected(Exception):
    """The client went away before its body was here: there is nobody to answer."""


async def read_body(receive: Receive, headers: Iterable[tuple[bytes, bytes]], limit_bytes: int) -> bytes:
    """The request's body, refused at the first byte over the limit, whatever the headers promised.

    Raises:
        BodyTooLarge: it is, or says that it will be.
        Disconnected: it never came.
    """
    declared = header_of(headers, b"content-length")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    message = await receive()
    body: bytes = message.get("body", b"")
    while message["type"] == "http.request" and message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            break
    if message["type"] == "http.disconnect":
        raise Disconnected
    if len(body) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return body


@coroutine
def _rest_of(begun: Coroutine[Any, Any, bytes], waits_for: object) -> Generator[Any, Any, bytes]:
    """Await what is left of a coroutine that waits for something."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:
                waits_for = begun.throw(error)
            else:
                waits_for = begun.send(sent)
    except StopIteration as done:
        body: bytes = done.value
        return body
