"""Scores for one decision out of shared calls: concurrent decisions travel to the sidecar together.

Rows that are refused together are asked for again by halves, so that it is the one row that nobody can score
whose decision falls back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice

from decision_service.batcher import Batcher
from decision_service.breaker import Guard
from decision_service.errors import SidecarFailed, SidecarRefused
from decision_service.row_scores import RowScores
from decision_service.sidecar_client import SidecarClient
from sidecar.contracts.application import Exploration
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.wire import ScoreRow

Told = RowScores | SidecarFailed
"""What is said of a row."""
Lot = tuple[Catalogue, Sequence[ScoreRow]]
"""Rows that were asked for together."""
FEW = 4
"""Rows that are not worth gathering while others are away."""
_FAIR_SHARE = 0.5
"""Of its longest wait: who left the sidecar less time than that cannot blame it."""


class Scorer:
    """Scores rows of one application; belongs to one event loop.

    Args:
        client: the hop.
        exploration: of every row, for the sidecar's own probabilities.
        timeout_s: longest wait, below what the caller's deadline leaves.
        max_batch: most rows of one call.
        connections: calls under way at once.
        guard: whether the sidecar is to be asked.
        calibrated: whether to ask what scores mean.
        versions: gives the deployed versions that score too.
    """

    def __init__(
        self,
        client: SidecarClient,
        exploration: Exploration,
        *,
        timeout_s: float,
        max_batch: int,
        connections: int,
        guard: Guard,
        calibrated: bool = False,
        versions: Callable[[], tuple[int, ...]] = tuple,
    ) -> None:
        self._guard = guard
        self._client = client
        self._explorations = (exploration,)
        self._timeout_s = timeout_s
        self._calibrated = calibrated
        self._versions = versions
        self._batcher: Batcher[Lot, list[Told]] = Batcher(
            self._call, max_batch=max_batch, in_flight=connections, few=FEW, size=_rows
        )

    async def score(self, row: ScoreRow, catalogue: Catalogue, left_s: float) -> RowScores:
        """Scores of one row, whose ``arms`` point into ``catalogue``.

        Raises:
            SidecarFailed: no scores can be had.
            TimeoutError: none came within ``left_s`` seconds.
        """
        (said,) = await self.score_all([row], catalogue, left_s)
        if isinstance(said, Exception):
            raise said
        return said

    async def score_all(
        self, rows: Sequence[ScoreRow], catalogue: Catalogue, left_s: float
    ) -> Sequence[Told | TimeoutError]:
        """Scores of rows, in their order; or, for each, why there are none."""
        if left_s <= 0:
            return [TimeoutError()] * len(rows)
        if not self._guard.closed:
            return [SidecarFailed("it failed too often, and is left alone until it answers again")] * len(
                rows
            )
        try:
            scores = await self._batcher.ask((catalogue, rows), min(left_s, self._timeout_s))
        except (SidecarFailed, TimeoutError) as error:
            # One that was asked at the last moment is not to blame for being late.
            if isinstance(error, SidecarFailed) or left_s >= self._timeout_s * _FAIR_SHARE:
                self._guard.bad(len(rows))
            return [error] * len(rows)
        refused = sum(isinstance(one, SidecarFailed) for one in scores)
        self._guard.good(len(rows) - refused)
        self._guard.bad(refused)
        return scores

    async def _call(self, lots: Sequence[Lot]) -> list[list[Told]]:
        """One call; just when the catalogue changes, one for each."""
        by_version: dict[str, list[int]] = {}
        for place, (catalogue, _) in enumerate(lots):
            by_version.setdefault(catalogue.version, []).append(place)
        found: list[list[Told]] = [[]] * len(lots)
        until_s = asyncio.get_running_loop().time() + self._timeout_s
        for places in by_version.values():
            rows = [row for place in places for row in lots[place][1]]
            scores = iter(await self._some(lots[places[0]][0], rows, until_s))
            for place in places:
                found[place] = list(islice(scores, len(lots[place][1])))
        return found

    async def _some(self, catalogue: Catalogue, rows: Sequence[ScoreRow], until_s: float) -> list[Told]:
        """Rows of one catalogue; halves of those that were refused, while there is time."""
        try:
            return [*await self._of_catalogue(catalogue, rows)]
        except SidecarRefused as error:
            if len(rows) == 1 or asyncio.get_running_loop().time() >= until_s:
                return [error] * len(rows)
        half = len(rows) // 2
        first = await self._some(catalogue, rows[:half], until_s)
        return first + await self._some(catalogue, rows[half:], until_s)

    async def _of_catalogue(self, catalogue: Catalogue, rows: Sequence[ScoreRow]) -> list[RowScores]:
        return await self._client.score(
            rows, self._explorations, catalogue, calibrated=self._calibrated, versions=self._versions()
        )


def _rows(lot: Lot) -> int:
    return len(lot[1])
