"""The hop to the sidecar: one call for many decisions, on connections that are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from decision_service.errors import SidecarFailed, SidecarRefused
from decision_service.row_scores import RowScores, decoded, scores_of
from decision_service.sidecar_connection import Connection, connect
from sidecar.contracts.application import Exploration
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.wire import ScoreRequest, ScoreRow, encode

_UNKNOWN_CATALOGUE = 409
_REFUSED = frozenset({400, 413, 422, 500})


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
        self._idle: list[Connection] = []

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
            SidecarFailed: it is not there, is too slow, or answers what is no answer.
            SidecarRefused: one of the rows may be why.
        """
        until_s = asyncio.get_running_loop().time() + self._timeout_s
        try:
            return await self.score_by(
                until_s, rows, explorations, catalogue, calibrated=calibrated, versions=versions
            )
        except TimeoutError:
            raise SidecarFailed(f"no answer within {self._timeout_s:g} s") from None

    async def score_by(
        self,
        until_s: float,
        rows: Sequence[ScoreRow],
        explorations: tuple[Exploration, ...],
        catalogue: Catalogue,
        *,
        calibrated: bool = False,
        versions: tuple[int, ...] = (),
    ) -> list[RowScores]:
        """The same for who says until when to wait, on the loop's clock.

        Raises:
            TimeoutError: it is too slow.
            SidecarFailed, SidecarRefused: as above.
        """
        request = ScoreRequest(
            tuple(rows), explorations, catalogue.version, calibrated=calibrated, versions=versions
        )
        try:
            status, body = await self._post(encode(request), until_s)
            if status == _UNKNOWN_CATALOGUE:
                whole = msgspec.structs.replace(request, arms=catalogue.arms)
                status, body = await self._post(encode(whole), until_s)
        except TimeoutError:  # an OSError too, and its caller's to judge
            raise
        except (OSError, EOFError) as error:
            raise SidecarFailed(f"{type(error).__name__}: {error}") from error
        if status != 200:
            kind = SidecarRefused if status in _REFUSED else SidecarFailed
            raise kind(f"status {status}: {body[:200]!r}")
        response = decoded(body)
        self.trained_until_ms = response.trained_until_ms
        return scores_of(response, len(rows))

    async def close(self) -> None:
        """Drop the connections."""
        while self._idle:
            self._idle.pop().abort()

    async def _post(self, body: bytes, until_s: float) -> tuple[int, bytes]:
        """One exchange. A connection that idled may have been closed meanwhile: then a fresh one is tried."""
        if self._idle:
            try:
                return await self._exchange(self._idle.pop(), body, until_s)
            except TimeoutError:  # no reason to try another one
                raise
            except (OSError, EOFError):
                pass
        async with asyncio.timeout_at(until_s):
            connection = await connect(self._socket)
        return await self._exchange(connection, body, until_s)

    async def _exchange(self, connection: Connection, body: bytes, until_s: float) -> tuple[int, bytes]:
        try:
            answer = await connection.exchange(body, until_s - asyncio.get_running_loop().time())
        except BaseException:
            connection.abort()  # its answer may still come, and belongs to nobody
            raise
        self._idle.append(connection)
        return answer
