"""Scores for one decision out of shared calls: concurrent decisions travel to the sidecar together.

Decisions that were made ready together are a call by themselves, which goes at once when nobody else's is on
its way: gathering costs tasks and turns of the loop, and there is nothing to gather. It ends with its
caller's time, so who leaves little of it is gathered: else a slow sidecar would be given ever more to do.

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
        self._one = connections == 1
        """Where there are more, whoever comes is gathered."""
        self._waited = 0
        """Rows that somebody waits for."""
        self._gathered = 0
        """Calls under way, of rows that were gathered."""
        self._alone = False
        """A call is under way whose rows were not."""
        self._batcher: Batcher[Lot, Sequence[Told]] = Batcher(
            self._call,
            max_batch=max_batch,
            in_flight=connections,
            few=FEW,
            size=_rows,
            held=self._holds if self._one else None,
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
        self, rows: Sequence[ScoreRow], catalogue: Catalogue, left_s: float, *, gathered: bool = False
    ) -> Sequence[Told | TimeoutError]:
        """Scores of rows, in their order; or, for each, why there are none.

        Args:
            rows: what is to be scored.
            catalogue: what their ``arms`` point into.
            left_s: longest wait.
            gathered: whether others ask in the same moment, whose call this is to be.
        """
        if left_s <= 0:
            return [TimeoutError()] * len(rows)
        if not self._guard.closed:
            return [SidecarFailed("it failed too often, and is left alone until it answers again")] * len(
                rows
            )
        limit_s = min(left_s, self._timeout_s)
        is_fair = left_s >= self._timeout_s * _FAIR_SHARE
        goes = self._one and is_fair and not (gathered or self._waited or self._gathered)
        ask = self._now if goes else self._batcher.ask
        self._waited += len(rows)
        try:
            scores = await ask((catalogue, rows), limit_s)
        except (SidecarFailed, TimeoutError) as error:
            # One that was asked at the last moment is not to blame for being late.
            if isinstance(error, SidecarFailed) or is_fair:
                self._guard.bad(len(rows))
            return [error] * len(rows)
        finally:
            self._waited -= len(rows)
        refused = [*map(type, scores)].count(SidecarRefused)
        self._guard.good(len(rows) - refused)
        if refused:
            self._guard.bad(refused)
        return scores

    def _holds(self) -> bool:
        """Whoever comes waits for the call that was not gathered, as for any other."""
        return self._alone and self._waited > FEW

    async def _now(self, lot: Lot, limit_s: float) -> Sequence[Told]:
        """A call by itself."""
        self._alone = True
        try:
            return await self._some(*lot, asyncio.get_running_loop().time() + limit_s)
        finally:
            self._alone = False
            self._batcher.look_again()

    async def _call(self, lots: Sequence[Lot]) -> Sequence[Sequence[Told]]:
        self._gathered += 1
        try:
            return await self._by_catalogue(lots)
        finally:
            self._gathered -= 1

    async def _by_catalogue(self, lots: Sequence[Lot]) -> Sequence[Sequence[Told]]:
        """One call; just when the catalogue changes, one for each."""
        by_version: dict[str, list[int]] = {}
        for place, (catalogue, _) in enumerate(lots):
            by_version.setdefault(catalogue.version, []).append(place)
        found: list[Sequence[Told]] = [[]] * len(lots)
        until_s = asyncio.get_running_loop().time() + self._timeout_s
        for places in by_version.values():
            rows = [row for place in places for row in lots[place][1]]
            scores = iter(await self._some(lots[places[0]][0], rows, until_s))
            for place in places:
                found[place] = list(islice(scores, len(lots[place][1])))
        return found

    async def _some(self, catalogue: Catalogue, rows: Sequence[ScoreRow], until_s: float) -> Sequence[Told]:
        """Rows of one catalogue; halves of those that were refused, while there is time."""
        try:
            return await self._client.score_by(
                until_s,
                rows,
                self._explorations,
                catalogue,
                calibrated=self._calibrated,
                versions=self._versions(),
            )
        except SidecarRefused as error:
            if len(rows) == 1 or asyncio.get_running_loop().time() >= until_s:
                return [error] * len(rows)
        half = len(rows) // 2
        first = await self._some(catalogue, rows[:half], until_s)
        return [*first, *await self._some(catalogue, rows[half:], until_s)]


def _rows(lot: Lot) -> int:
    return len(lot[1])
