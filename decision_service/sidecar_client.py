"""The hop to the sidecar: keep-alive HTTP/1.1 over its Unix socket, as lean as asyncio allows.

A general client costs 0.7 ms of processor time a call, this one some 0.05 ms: the peer is our own, so the
only framing it must understand is ``Content-Length``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from decision_service.errors import SidecarFailed
from decision_service.row_stacks import Row, rows_of
from sidecar.contracts.application import Catalogue, Exploration
from sidecar.contracts.base_model import BaseColumn, columns_of
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.wire import (
    SCORE_PATH,
    ScoreRequest,
    ScoreResponse,
    ScoreRow,
    VersionScores,
    decode_response,
    encode,
)

_HEAD_LIMIT_BYTES = 16_384
_UNKNOWN_CATALOGUE = 409


class RowScores(Struct, frozen=True):
    """One decision's scores, and which weights gave them."""

    scores: bytes
    """float32 little-endian, one per eligible arm."""
    model_version: int
    cold: bool
    expected: bytes = b""
    """float32 likewise: the reward to be expected; empty when it was not asked for, or is not known."""
    ranks: bytes = b""
    """float32 likewise: the share of arms shown lately that were scored no higher."""
    base: BaseColumn | None = None
    """What the base model said, if there is one."""
    models: tuple[VersionScores, ...] = ()
    """What deployed versions say of this decision."""
    row: Row | None = None
    """``scores`` as a row among those that came with them, where there are such."""


class SidecarClient:
    """Scores batches of one application; belongs to one event loop.

    Args:
        socket: the sidecar's.
        timeout_s: of one batch, resending included.
    """

    def __init__(self, socket: Path, timeout_s: float) -> None:
        self._socket = str(socket)
        self._timeout_s = timeout_s
        self.trained_until_ms = 0
        """When the last example that the weights know was made; 0: not known."""
        self._idle: list[_Connection] = []

    async def score(
        self,
        rows: Sequence[ScoreRow],
        explorations: tuple[Exploration, ...],
        catalogue: Catalogue,
        *,
        calibrated: bool = False,
        versions: tuple[int, ...] = (),
    ) -> list[RowScores]:
        """Scores for ``rows``, in their order. The table of arms is sent along only when it is asked for.

        Args:
            rows: what is to be scored.
            explorations: what the rows point into.
            catalogue: likewise.
            calibrated: whether to ask what the scores mean.
            versions: deployed versions that are to score them too.

        Raises:
            SidecarFailed: it is not there, is too slow, refuses, or answers what is no answer.
        """
        request = ScoreRequest(
            tuple(rows), explorations, catalogue.version, calibrated=calibrated, versions=versions
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                status, body = await self._post(encode(request))
                if status == _UNKNOWN_CATALOGUE:
                    whole = msgspec.structs.replace(request, arms=catalogue.arms)
                    status, body = await self._post(encode(whole))
        except TimeoutError:
            raise SidecarFailed(f"no answer within {self._timeout_s:g} s") from None
        except (OSError, EOFError) as error:
            raise SidecarFailed(f"{type(error).__name__}: {error}") from error
        if status != 200:
            raise SidecarFailed(f"status {status}: {body[:200]!r}")
        response = _decoded(body)
        self.trained_until_ms = response.trained_until_ms
        return _scored(response, len(rows))

    async def close(self) -> None:
        """Drop the connections."""
        while self._idle:
            self._idle.pop().abort()

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        """One exchange. A connection that idled may have been closed meanwhile: then a fresh one is tried."""
        reused = bool(self._idle)
        connection = self._idle.pop() if reused else await _connect(self._socket)
        try:
            answer = await connection.exchange(body)
        except (OSError, EOFError):
            connection.abort()
            if not reused:
                raise
            connection = await _connect(self._socket)
            answer = await connection.exchange(body)
        except BaseException:
            connection.abort()  # its answer may still come, and belongs to nobody
            raise
        self._idle.append(connection)
        return answer


def _decoded(body: bytes) -> ScoreResponse:
    try:
        return decode_response(body)
    except (BadEvent, UnicodeDecodeError) as error:
        raise SidecarFailed(str(error)) from error


def _scored(response: ScoreResponse, rows: int) -> list[RowScores]:
    if len(response.rows) != rows:
        raise SidecarFailed(f"{rows} rows in, {len(response.rows)} rows out")
    version, cold = response.model_version, response.cold
    bases = columns_of(response)
    if len(bases) != rows:
        raise SidecarFailed(f"{rows} rows in, {len(bases)} scores of the base model out")
    models = _by_row(response)
    places = rows_of([row.scores for row in response.rows])
    return [
        RowScores(row.scores, version, cold, row.expected, row.ranks, base, said, place)
        for row, base, said, place in zip(response.rows, bases, models, places, strict=True)
    ]


def _by_row(response: ScoreResponse) -> list[tuple[VersionScores, ...]]:
    """What the deployed versions say of each row.

    Raises:
        SidecarFailed: of another number of arms than the rows have.
    """
    if not response.models:
        return [()] * len(response.rows)
    ends = list(accumulate([len(row.scores) for row in response.rows], initial=0))
    for one in response.models:
        if not (len(one.scores) == ends[-1] and {len(one.expected), len(one.ranks)} <= {0, ends[-1]}):
            raise SidecarFailed(f"{len(one.scores)} bytes of scores of version {one.version}, not {ends[-1]}")
    return [
        tuple(
            [
                VersionScores(
                    one.version, one.scores[start:end], one.expected[start:end], one.ranks[start:end]
                )
                for one in response.models
            ]
        )
        for start, end in pairwise(ends)
    ]


async def _connect(socket: str) -> _Connection:
    _, connection = await asyncio.get_running_loop().create_unix_connection(_Connection, socket)
    return connection


class _Connection(asyncio.Protocol):
    """One exchange at a time on one connection."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._closed = False

    def exchange(self, body: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Status and body of the answer to one POST of ``body``."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._closed or self._transport is None:
            self._answer.set_exception(EOFError("the connection is closed"))
            return self._answer
        self._received.clear()
        self._transport.write(
            b"POST %b HTTP/1.1\r\nhost: sidecar\r\ncontent-type: application/msgpack\r\n"
            b"content-length: %d\r\n\r\n%b" % (SCORE_PATH.encode(), len(body), body)
        )
        return self._answer

    def abort(self) -> None:
        """Close at once."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's do not derive from it

    def data_received(self, data: bytes) -> None:
        """Called by asyncio: gather until the answer is whole."""
        self._received += data
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked
            return
        try:
            answer = _parse(self._received)
        except ValueError as error:
            self._fail(ConnectionError(f"not HTTP: {error}"))
            return
        if answer is not None:
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio."""
        self._closed = True
        self._fail(error if isinstance(error, OSError) else EOFError("the sidecar hung up"))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.abort()


def _parse(received: bytearray) -> tuple[int, bytes] | None:
    """Status and body once all of it is there.

    Raises:
        ValueError: this is no HTTP answer with a length.
    """
    end = received.find(b"\r\n\r\n", 0, _HEAD_LIMIT_BYTES)
    if end < 0:
        if len(received) > _HEAD_LIMIT_BYTES:
            raise ValueError("a head without end")
        return None
    head = bytes(received[:end]).lower()
    status = int(head[9:12])
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if not found:
        raise ValueError("no content-length")
    length = int(rest.split(b"\r\n", 1)[0])
    if len(received) < end + 4 + length:
        return None
    return status, bytes(received[end + 4 : end + 4 + length])
