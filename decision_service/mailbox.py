"""One mailbox a request: every model container is asked at once, and whoever answers in time is heard.

Models of one container answer together, out of one call that concurrent requests share. With one container,
which is what most applications have, there is nothing to wait for beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from decision_service.canaries import Canaries
from decision_service.decoys import Decoys
from decision_service.errors import SidecarFailed
from decision_service.prepolicy import Eligible
from decision_service.rendezvous import awaited, meeting, missing_of
from decision_service.row_scores import RowScores
from decision_service.scored import Scored, live_scores, version_scores
from decision_service.scoring import Scorer
from sidecar.contracts.application import Exploration
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.models import foreign
from sidecar.contracts.roster import FIRST, FIRST_ROSTER, LIVE, Model, Roster, promising
from sidecar.contracts.wire import ScoreRow, VersionScores

Answers = dict[str, Scored]
"""Model to what it said."""


class Mailbox:
    """Asks all models of an application; belongs to one event loop.

    Args:
        scorer: gives the scorer of a container; "" is the sidecar.
        roster: gives the models of this moment.
        decoys: archive what models are given.
        canaries: watch what some of them say.
    """

    def __init__(
        self,
        scorer: Callable[[str], Scorer],
        roster: Callable[[], Roster],
        decoys: Decoys,
        canaries: Canaries,
    ) -> None:
        self._scorer = scorer
        self._roster = roster
        self._decoys = decoys
        self._canaries = canaries

    def names(self) -> tuple[str, ...]:
        """The models that are asked."""
        return missing_of(self._roster(), ())

    async def meet(
        self, decision_id: str, row: ScoreRow, arms: Eligible, exploration: Exploration, left_s: float
    ) -> Scored:
        """The answers that came in time, and with which probability each is the official one.

        Args:
            decision_id: of the decision.
            row: to be scored.
            arms: its arms.
            exploration: of the decision.
            left_s: seconds until its deadline.

        Raises:
            SidecarFailed: no scores can be had of any model that could be official.
            TimeoutError: none came in time.
        """
        roster = self._roster()
        if roster.models == FIRST_ROSTER.models:  # one model: there is nobody to meet
            said = await self._scorer("").score(row, arms.shelf.catalogue, left_s)
            return live_scores(said, len(arms.ids), FIRST, exploration)
        self._decoys.offer(roster, decision_id, arms.shelf.catalogue.version, row)
        asked = _Asked(roster, len(arms.ids), exploration)
        if len(asked.containers) == 1:
            (only,) = asked.containers
            wait_s = _patience(roster, only, left_s)
            asked.hear(only, await self._scorer(only).score(row, arms.shelf.catalogue, wait_s))
        else:
            await self._meet_all(asked, row, arms.shelf.catalogue, left_s)
        self._canaries.heard(roster, asked.said)
        met = meeting(roster, asked.said)
        if met is None:
            raise asked.failure or TimeoutError
        return met

    async def _meet_all(self, asked: _Asked, row: ScoreRow, catalogue: Catalogue, left_s: float) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        calls = {
            loop.create_task(self._scorer(container).score(row, catalogue, left_s)): container
            for container in asked.containers
        }
        for call in calls:
            call.add_done_callback(_heard)
        try:
            while (wait_s := asked.patience(set(calls.values()), loop.time() - started, left_s)) > 0.0:
                done, _ = await asyncio.wait(calls, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                for call in done:
                    asked.take(calls.pop(call), call)
        finally:
            for call in calls:
                call.cancel()


class _Asked:
    """What one decision has heard so far."""

    def __init__(self, roster: Roster, n_arms: int, exploration: Exploration) -> None:
        self._roster = roster
        self.containers = {model.container for model in roster.models if model.role != "decoy"}
        self._n_arms = n_arms
        self._exploration = exploration
        self.said: Answers = {}
        self.failure: SidecarFailed | TimeoutError | None = None

    def take(self, container: str, call: asyncio.Task[RowScores]) -> None:
        """A call has ended, somehow."""
        try:
            self.hear(container, call.result())
        except (SidecarFailed, TimeoutError) as error:
            self.failure = error

    def hear(self, container: str, said: RowScores) -> None:
        """A container has answered; a model whose scores are none is as if it had not."""
        versions = {one.version: one for one in said.models}
        for model in self._roster.models:
            if model.container != container or model.role == "decoy":
                continue
            try:
                if (scored := self._of(model, said, versions)) is not None:
                    self.said[model.name] = scored
            except SidecarFailed as error:
                self.failure = error

    def _of(self, model: Model, said: RowScores, versions: Mapping[int, VersionScores]) -> Scored | None:
        if model.version == LIVE:
            scored = live_scores(said, self._n_arms, model.name, self._explores(model))
            return _foreign(scored) if model.container else scored
        if (one := versions.get(model.version)) is None:
            return None
        return version_scores(one, self._n_arms, model.name, self._explores(model), said.base)

    def patience(self, containers: set[str], elapsed_s: float, left_s: float) -> float:
        """Seconds to wait on for ``containers``; 0: nothing that they say could change anything in time."""
        waits = [
            _wait_s(model, left_s) - elapsed_s
            for model in awaited(self._roster.models, self.said)
            if model.container in containers
        ]
        return max(waits, default=0.0)

    def _explores(self, model: Model) -> Exploration:
        """As the model's entry says, with what the decision promises of all of them."""
        return (
            self._exploration
            if model.exploration is None
            else promising(model.exploration, self._exploration)
        )


def _foreign(scored: Scored) -> Scored:
    """Scored by weights that another container counts in its own way."""
    return msgspec.structs.replace(scored, model_version=foreign(scored.model_version))


def _heard(call: asyncio.Task[RowScores]) -> None:
    """What comes of a call after the rendezvous has closed is nobody's concern."""
    if not call.cancelled():
        call.exception()


def _patience(roster: Roster, container: str, left_s: float) -> float:
    """How long to wait for the only container."""
    return max(_wait_s(model, left_s) for model in roster.models if model.container == container)


def _wait_s(model: Model, left_s: float) -> float:
    """How long to wait for a model, its decision having ``left_s`` seconds in all."""
    if model.wait_ms is None:
        return left_s if model.can_answer else 0.0
    return min(model.wait_ms / 1000, left_s)


def versions_of(roster: Roster, container: str) -> tuple[int, ...]:
    """The fixed versions that a container scores with, beside its own weights."""
    return tuple(
        sorted(
            {
                model.version
                for model in roster.models
                if model.container == container and model.version != LIVE and model.role != "decoy"
            }
        )
    )
