"""Scores for one decision out of shared calls: concurrent decisions travel to the sidecar together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from decision_service.batcher import Batcher
from decision_service.breaker import Guard
from decision_service.errors import SidecarFailed
from decision_service.row_scores import RowScores
from decision_service.sidecar_client import SidecarClient
from sidecar.contracts.application import Exploration
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.wire import ScoreRow

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
        self._batcher = Batcher(self._call, max_batch=max_batch, in_flight=connections, few=FEW)

    async def score(self, row: ScoreRow, catalogue: Catalogue, left_s: float) -> RowScores:
        """Scores of one row, whose ``arms`` point into ``catalogue``.

        Raises:
            SidecarFailed: no scores can be had.
            TimeoutError: none came within ``left_s`` seconds.
        """
        if left_s <= 0:
            raise TimeoutError
        if not self._guard.closed:
            raise SidecarFailed("it failed too often, and is left alone until it answers again")
        try:
            scores = await self._batcher.ask((catalogue, row), min(left_s, self._timeout_s))
        except (SidecarFailed, TimeoutError) as error:
            # One that was asked at the last moment is not to blame for being late.
            if isinstance(error, SidecarFailed) or left_s >= self._timeout_s * _FAIR_SHARE:
                self._guard.bad()
            raise
        self._guard.good()
        return scores

    async def _call(self, asked: Sequence[tuple[Catalogue, ScoreRow]]) -> list[RowScores]:
        """One call; just when the catalogue changes, one for each."""
        catalogues = {catalogue.version: catalogue for catalogue, _ in asked}
        if len(catalogues) == 1:
            return await self._of_catalogue(asked[0][0], [row for _, row in asked])
        found: list[RowScores | None] = [None] * len(asked)
        for version, catalogue in catalogues.items():
            places = [place for place, (its, _) in enumerate(asked) if its.version == version]
            scores = await self._of_catalogue(catalogue, [asked[place][1] for place in places])
            for place, one in zip(places, scores, strict=True):
                found[place] = one
        return [one for one in found if one is not None]

    async def _of_catalogue(self, catalogue: Catalogue, rows: Sequence[ScoreRow]) -> list[RowScores]:
        return await self._client.score(
            rows, self._explorations, catalogue, calibrated=self._calibrated, versions=self._versions()
        )
