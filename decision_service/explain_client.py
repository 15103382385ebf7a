"""The seldom hop: one explanation over the model container's socket, on a connection of its own."""

from __future__ import annotations

import asyncio

from decision_service.errors import SidecarFailed
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.explaining import (
    EXPLAIN_PATH,
    ExplainRequest,
    ExplainResponse,
    decode_response,
    encode,
)

_HEAD_END = b"\r\n\r\n"


async def ask(socket: str, request: ExplainRequest, timeout_s: float) -> ExplainResponse:
    """What the scores of the request's arms are made of.

    Args:
        socket: of the container.
        request: the question.
        timeout_s: longest wait.

    Raises:
        SidecarFailed: it is not there, is too slow, refuses, or answers what is no answer.
    """
    try:
        async with asyncio.timeout(timeout_s):
            head, body = await _post(socket, encode(request))
    except TimeoutError:
        raise SidecarFailed(f"no explanation within {timeout_s:g} s") from None
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise SidecarFailed(f"{type(error).__name__}: {error}") from error
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise SidecarFailed(f"no explanation: {body[:200].decode(errors='replace')}")
    try:
        response = decode_response(body)
    except BadEvent as error:
        raise SidecarFailed(str(error)) from error
    if len(response.arms) != len(request.arms):
        raise SidecarFailed(f"{len(request.arms)} arms in, {len(response.arms)} arms out")
    return response


async def _post(socket: str, body: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer; the container closes after it."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(
            b"POST %b HTTP/1.1\r\nhost: sidecar\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (EXPLAIN_PATH.encode(), len(body), body)
        )
        head = await reader.readuntil(_HEAD_END)
        return head, await reader.read(-1)
    finally:
        writer.close()
