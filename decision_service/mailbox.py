"""One mailbox a request: every model container is asked at once, and whoever answers in time is heard.

Models of one container answer together, out of one call that concurrent requests share. With one container,
which is what most applications have, there is nothing to wait for beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from decision_service.canaries import Canaries
from decision_service.decoys import Decoys
from decision_service.errors import SidecarFailed
from decision_service.prepolicy import Eligible
from decision_service.rendezvous import awaited, meeting, missing_of
from decision_service.row_scores import RowScores
from decision_service.scored import Scored, live_scores, version_scores
from decision_service.scoring import Scorer
from decision_service.side_by_side import all_of
from sidecar.contracts.application import Exploration
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.models import foreign
from sidecar.contracts.roster import FIRST, FIRST_ROSTER, LIVE, Model, Roster, promising
from sidecar.contracts.wire import ScoreRow, VersionScores

Answers = dict[str, Scored]
"""Model to what it said."""
Said = RowScores | SidecarFailed | TimeoutError
"""What a container says of one decision, or why it says nothing."""


class Meeting(Struct, frozen=True):
    """One decision that models are asked about."""

    decision_id: str
    row: ScoreRow
    """To be scored."""
    arms: Eligible
    exploration: Exploration


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

    async def meet_all(self, asked: Sequence[Meeting], left_s: float) -> list[Scored | Exception]:
        """For each decision what was said in time, and how probably each model is the official one.

        Or why there is nothing: ``SidecarFailed`` if no scores can be had of any model that could be
        official, ``TimeoutError`` if none came in time.

        Args:
            asked: the decisions.
            left_s: seconds until the deadline of all of them.
        """
        roster = self._roster()
        if roster.models == FIRST_ROSTER.models:  # one model: there is nobody to meet
            said = await self._score("", asked, left_s)
            return [_live(one, what) for one, what in zip(asked, said, strict=True)]
        for one in asked:
            self._decoys.offer(roster, one.decision_id, one.arms.shelf.catalogue.version, one.row)
        minds = [_Asked(roster, len(one.arms.ids), one.exploration) for one in asked]
        containers = minds[0].containers
        if len(containers) == 1:
            (only,) = containers
            said = await self._score(only, asked, _patience(roster, only, left_s))
            for mind, what in zip(minds, said, strict=True):
                mind.take(only, what)
        else:
            rows = [
                self._meet_all(mind, one.row, one.arms.shelf.catalogue, left_s)
                for mind, one in zip(minds, asked, strict=True)
            ]
            await all_of(rows)
        return [self._met(roster, mind) for mind in minds]

    def _met(self, roster: Roster, mind: _Asked) -> Scored | Exception:
        self._canaries.heard(roster, mind.said)
        return meeting(roster, mind.said) or mind.failure or TimeoutError()

    async def meet(
        self, decision_id: str, row: ScoreRow, arms: Eligible, exploration: Exploration, left_s: float
    ) -> Scored:
        """The same for one.

        Raises:
            SidecarFailed, TimeoutError: as above.
        """
        (met,) = await self.meet_all([Meeting(decision_id, row, arms, exploration)], left_s)
        if isinstance(met, Exception):
            raise met
        return met

    async def _score(self, container: str, asked: Sequence[Meeting], left_s: float) -> Sequence[Said]:
        """What a container says of all of them; one call for each catalogue, of which there is mostly one."""
        scorer, catalogue = self._scorer(container), asked[0].arms.shelf.catalogue
        if all(one.arms.shelf.catalogue is catalogue for one in asked):
            return await scorer.score_all([one.row for one in asked], catalogue, left_s)
        each = [scorer.score_all([one.row], one.arms.shelf.catalogue, left_s, gathered=True) for one in asked]
        return [said for (said,) in await all_of(each)]

    async def _meet_all(self, asked: _Asked, row: ScoreRow, catalogue: Catalogue, left_s: float) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        calls = {
            loop.create_task(
                self._scorer(container).score_all([row], catalogue, left_s, gathered=True)
            ): container
            for container in asked.containers
        }
        for call in calls:
            call.add_done_callback(_heard)
        try:
            while (wait_s := asked.patience(set(calls.values()), loop.time() - started, left_s)) > 0.0:
                done, _ = await asyncio.wait(calls, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                for call in done:
                    asked.take(calls.pop(call), call.result()[0])
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

    def take(self, container: str, said: Said) -> None:
        """A container has answered, or will not."""
        if isinstance(said, Exception):
            self.failure = said
        else:
            self.hear(container, said)

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


def _live(one: Meeting, said: Said) -> Scored | Exception:
    """What the only model says."""
    try:
        return (
            said
            if isinstance(said, Exception)
            else live_scores(said, len(one.arms.ids), FIRST, one.exploration)
        )
    except SidecarFailed as error:
        return error


def _heard(call: asyncio.Task[Sequence[Said]]) -> None:
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
    if roster.models == FIRST_ROSTER.models:  # as mostly, and it is asked at every call
        return ()
    return tuple(
        sorted(
            {
                model.version
                for model in roster.models
                if model.container == container and model.version != LIVE and model.role != "decoy"
            }
        )
    )
