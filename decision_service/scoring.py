"""Scores for one decision out of shared calls: concurrent decisions travel to the sidecar together."""

from __future__ import annotations

from collections.abc import Sequence

from decision_service.batcher import Batcher
from decision_service.breaker import Guard
from decision_service.errors import SidecarFailed
from decision_service.sidecar_client import RowScores, SidecarClient
from sidecar.contracts.application import Catalogue, Exploration
from sidecar.contracts.wire import ScoreRow

_FAIR_SHARE = 0.5
"""Of its longest wait: who left the sidecar less time than that cannot blame it."""


class Scorer:
    """Scores rows of one application; belongs to one event loop.

    Args:
        client: the hop.
        catalogue: what ``ScoreRow.arms`` points into.
        exploration: of every row, for the sidecar's own probabilities.
        timeout_s: longest wait, below what the caller's deadline leaves.
        max_batch: most rows of one call.
        connections: calls under way at once.
        guard: whether the sidecar is to be asked.
        calibrated: whether to ask what scores mean.
    """

    def __init__(
        self,
        client: SidecarClient,
        catalogue: Catalogue,
        exploration: Exploration,
        *,
        timeout_s: float,
        max_batch: int,
        connections: int,
        guard: Guard,
        calibrated: bool = False,
    ) -> None:
        self._guard = guard
        self._client = client
        self._catalogue = catalogue
        self._explorations = (exploration,)
        self._timeout_s = timeout_s
        self._calibrated = calibrated
        self._batcher = Batcher(self._call, max_batch=max_batch, in_flight=connections)

    async def score(self, row: ScoreRow, left_s: float) -> RowScores:
        """Scores of one row.

        Raises:
            SidecarFailed: no scores can be had.
            TimeoutError: none came within ``left_s`` seconds.
        """
        if left_s <= 0:
            raise TimeoutError
        if not self._guard.closed:
            raise SidecarFailed("it failed too often, and is left alone until it answers again")
        try:
            scores = await self._batcher.ask(row, min(left_s, self._timeout_s))
        except (SidecarFailed, TimeoutError) as error:
            # One that was asked at the last moment is not to blame for being late.
            if isinstance(error, SidecarFailed) or left_s >= self._timeout_s * _FAIR_SHARE:
                self._guard.bad()
            raise
        self._guard.good()
        return scores

    async def _call(self, rows: Sequence[ScoreRow]) -> list[RowScores]:
        return await self._client.score(
            rows, self._explorations, self._catalogue, calibrated=self._calibrated
        )
