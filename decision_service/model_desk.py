"""The models of an application through the API: their roles, what they earn, and how they stand."""

from __future__ import annotations

from typing import cast

import msgspec
from msgspec import Struct

from decision_service.errors import StoreAway
from decision_service.event_log import patiently
from decision_service.times import utc
from sidecar.contracts import keys
from sidecar.contracts.application import Exploration, ExplorationConfig
from sidecar.contracts.contests import Contest, ModelFigures, Promotion, Shown, decode_shown
from sidecar.contracts.errors import BadModel
from sidecar.contracts.learner_report import Progressive, WindowFigures, decode
from sidecar.contracts.roster import LIVE, Model, Role, Roster, answered_share
from sidecar.contracts.roster_check import decode_roster
from sidecar.contracts.store import AsyncScripts


class ModelView(Struct, frozen=True, kw_only=True):
    """One model."""

    name: str
    role: Role
    version: int
    """Of the weights that it scored with last; 0: it has not scored yet."""
    live: bool
    """Whether its weights are whatever the learner published last."""
    share: float
    """Of the traffic that a challenger answers; of a decoy, that whose inputs are archived."""
    answers: float | None
    """Share of the decisions that it answers while every model does; null: it never answers."""
    priority: int
    wait_ms: int | None
    exploration: ExplorationConfig | None
    """null: as the decision's."""
    container: str
    auc: float | None
    """Progressive: that what earned was scored higher than what did not, before either was learnt from."""
    reward: float | None
    """What its policy earns a decision: by inverse propensities, self-normalised, progressive as well."""
    reward_error: float | None
    """Its standard error."""
    progressive: WindowFigures
    """All figures, over the latest 10,000 decisions or so that it scored."""
    by_time: WindowFigures
    """The same over the latest ten minutes."""


class PromotionView(Struct, frozen=True, kw_only=True):
    """A challenger that took the champion's place by itself."""

    at: str
    kind: str
    champion: str
    predecessor: str
    contest: Contest
    """What argued for it."""


class ModelsView(Struct, frozen=True, kw_only=True):
    """All of them."""

    revision: int
    """Counts the changes; 0: nobody ever deployed anything."""
    models: list[ModelView]
    automatic: bool
    """Whether a challenger that is better beyond doubt becomes the champion by itself."""
    contests: list[Contest]
    """Each challenger and shadow against the champion."""
    promotions: list[PromotionView]
    """The latest, newest first."""


class ModelDesk:
    """Looks; belongs to one event loop."""

    def __init__(self, scripts: AsyncScripts, app: str) -> None:
        self._scripts = scripts
        self._app = app

    async def look(self) -> ModelsView:
        """As it is in the store, whether or not every replica has heard of it.

        Raises:
            StoreAway: the store did not answer, or something else lies there.
        """
        stored, shown, learner = await patiently(self._read)
        try:
            roster = decode_roster(stored)
        except BadModel as error:
            raise StoreAway(str(error)) from error
        return _view(roster, decode_shown(shown), learner)

    async def _read(self) -> tuple[dict[bytes, bytes], bytes | None, list[bytes | None]]:
        """In one round trip: the roster, what the learner shows, and its own figures."""
        pipe = self._scripts.client.pipeline(transaction=False)
        pipe.hgetall(keys.roster(self._app))
        pipe.hget(keys.contests(self._app), "shown")
        pipe.hmget(keys.learner_status(self._app), "progressive", "version")
        return cast(
            "tuple[dict[bytes, bytes], bytes | None, list[bytes | None]]", tuple(await pipe.execute())
        )


def _view(roster: Roster, shown: Shown, learner: list[bytes | None]) -> ModelsView:
    figures = {one.name: one for one in shown.models}
    return ModelsView(
        revision=roster.revision,
        models=[_model(roster, one, figures.get(one.name) or _alone(one, learner)) for one in roster.models],
        automatic=shown.automatic,
        contests=list(shown.contests),
        promotions=[_promotion(one) for one in shown.promotions],
    )


def _alone(model: Model, learner: list[bytes | None]) -> ModelFigures:
    """Of a model without a contest: what the learner says of the weights that it learns, if they are its."""
    if model.version != LIVE or model.container:
        return ModelFigures(model.name, model.version, WindowFigures())
    progressive, version = (one.decode(errors="replace") if one else "" for one in learner)
    known = decode(progressive, Progressive) or Progressive()
    number = int(version) if version.isdecimal() else 0
    return ModelFigures(model.name, number, known.by_count, known.by_time)


def _model(roster: Roster, model: Model, figures: ModelFigures) -> ModelView:
    latest = figures.progressive
    return ModelView(
        name=model.name,
        role=model.role,
        version=figures.version,
        live=model.version == LIVE,
        share=model.share,
        answers=answered_share(roster, model),
        priority=model.priority,
        wait_ms=model.wait_ms,
        exploration=_as_written(model.exploration),
        container=model.container,
        auc=latest.auc,
        reward=latest.snips,
        reward_error=latest.snips_error,
        progressive=latest,
        by_time=figures.by_time,
    )


def _as_written(explores: Exploration | None) -> ExplorationConfig | None:
    return None if explores is None else msgspec.convert(msgspec.structs.asdict(explores), ExplorationConfig)


def _promotion(one: Promotion) -> PromotionView:
    return PromotionView(
        at=utc(one.at_ms),
        kind=one.kind,
        champion=one.champion,
        predecessor=one.predecessor,
        contest=one.contest,
    )
