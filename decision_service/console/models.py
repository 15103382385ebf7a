"""The page of models: who scores, who answers, what each earns, and what could be deployed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from msgspec import Struct

from decision_service.event_log import patiently
from decision_service.model_desk import ModelDesk, ModelsView
from decision_service.tally import EXCLUDED
from sidecar.contracts import keys
from sidecar.contracts.course import LEARNER, Point, Standing, decode_course
from sidecar.contracts.errors import BadModel
from sidecar.contracts.models import Kept, Origin, decode_kept, name_of
from sidecar.contracts.store import AsyncScripts

MOST_VERSIONS = 50
_Read = tuple[list[bytes], dict[bytes, bytes], dict[bytes, bytes]]
"""Points of the course, newest first; who answered; what is said of versions."""


class Version(Struct, frozen=True, kw_only=True):
    """Weights that are kept, and could be deployed."""

    name: str
    """As it is written: 1234, i1."""
    version: int
    kept_at_ms: int
    origin: Origin
    examples: int
    note: str
    passed: bool | None
    """What the gate said of it; null: it was not asked."""


class BackstopView(Struct, frozen=True):
    """Who answers where nobody scored in time."""

    decisions: int
    """That it answered, since the store was made."""
    share: float | None
    """Of all."""


class Course(Struct, frozen=True):
    """What one model earned over the last two hours; ``at_ms`` is when."""

    at_ms: list[int]
    reward: list[float | None]
    reward_error: list[float | None]


class ModelsPageView(Struct, frozen=True, kw_only=True):
    """The page's data."""

    models: ModelsView
    """As ``GET /v1/models`` has them."""
    courses: dict[str, Course]
    """By model."""
    backstop: BackstopView
    drifts: dict[str, float]
    """Canary to how far its scores have moved, by this replica; those of which enough is known."""
    versions: list[Version]
    """The newest first."""
    predecessor: str
    """Whom the champion replaced, if it is still there: to roll back is to promote it. Else empty."""


class ModelsPage:
    """Reads; belongs to one event loop.

    Args:
        scripts: on the store.
        app: the application's name.
        desk: knows the models.
        drifts: of the canaries.
    """

    def __init__(
        self, scripts: AsyncScripts, app: str, desk: ModelDesk, drifts: Callable[[], Mapping[str, float]]
    ) -> None:
        self._scripts, self._app, self._desk, self._drifts = scripts, app, desk, drifts

    async def look(self) -> ModelsPageView:
        """As it is in the store.

        Raises:
            StoreAway: the store did not answer, or something else lies there.
        """
        models = await self._desk.look()
        points, answers, infos = await patiently(self._read)
        return ModelsPageView(
            models=models,
            courses=_courses(models, decode_course(points)),
            backstop=_backstop(answers),
            drifts=dict(self._drifts()),
            versions=_versions(infos.values()),
            predecessor=_predecessor(models),
        )

    async def _read(self) -> _Read:
        pipe = self._scripts.client.pipeline(transaction=False)
        pipe.lrange(keys.models_course(self._app), 0, -1)
        pipe.hgetall(keys.answers(self._app))
        pipe.hgetall(keys.model_infos(self._app))
        return cast(_Read, tuple(await pipe.execute()))


def _courses(models: ModelsView, points: list[Point]) -> dict[str, Course]:
    """Of one that scores alone, it is under the learner's name."""
    found = {}
    for model in models.models:
        names = [model.name, *([LEARNER] if model.live and not model.container else [])]
        own = [(one.at_ms, _standing(one, names)) for one in points]
        known = [(at_ms, standing) for at_ms, standing in own if standing is not None]
        if known:
            found[model.name] = Course(
                [at_ms for at_ms, _ in known],
                [standing.reward for _, standing in known],
                [standing.reward_error for _, standing in known],
            )
    return found


def _standing(point: Point, names: Iterable[str]) -> Standing | None:
    return next((point.models[name] for name in names if name in point.models), None)


def _backstop(stored: Mapping[bytes, bytes]) -> BackstopView:
    known = {name.decode(errors="replace"): count for name, count in stored.items() if count.isdigit()}
    counts = Counter({name: int(count) for name, count in known.items() if name != EXCLUDED})
    whole = counts.total()
    return BackstopView(counts["fallback"], counts["fallback"] / whole if whole else None)


def _versions(stored: Iterable[bytes]) -> list[Version]:
    """Those that can be read."""
    kept = []
    for one in stored:
        try:
            kept.append(decode_kept(one))
        except BadModel:
            continue
    kept.sort(key=lambda one: (one.at_ms, one.info.version), reverse=True)
    return [_version(one) for one in kept[:MOST_VERSIONS]]


def _version(kept: Kept) -> Version:
    info = kept.info
    return Version(
        name=name_of(info.version),
        version=info.version,
        kept_at_ms=kept.at_ms,
        origin=info.origin,
        examples=info.examples,
        note=info.note,
        passed=None if info.judgement is None else info.judgement.verdict.passed,
    )


def _predecessor(models: ModelsView) -> str:
    """Of the champion: whom it replaced by itself, or who stands by without a share since it did by hand."""
    champion = next(one.name for one in models.models if one.role == "champion")
    rivals = [one for one in models.models if one.role == "challenger"]
    latest = next(iter(models.promotions), None)
    told = latest.predecessor if latest and latest.champion == champion else None
    if told in [one.name for one in rivals]:
        return told or ""
    idle = [one.name for one in rivals if one.share == 0.0]
    return idle[0] if len(idle) == 1 else ""
