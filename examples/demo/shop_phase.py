"""Phase 2: live sessions through HTTP, while the learner learns from those before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import redis

from decision_service.cli.platform import Platform, free_port, started
from examples.demo.live import Json, ask, change
from examples.demo.screen import Screen, Show
from examples.settled import published_weights, wait_until_learnt, weights_age_s
from examples.shop.figures import Figures, Tally, figures_of
from examples.shop.simulator import FOLDER, HORIZON_S, Session, sessions
from examples.shop.traffic import Service, run_sessions
from sidecar.contracts.application import Application, load_application
from sidecar.contracts.catalogue import Catalogue, load_catalogue
from sidecar.contracts.keys import Keys
from sidecar.contracts.keys import weights as weights_key
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import Scripts, connect
from sidecar.contracts.upkeep import read_books
from sidecar.contracts.weights import Weights

CONCURRENCY = 16
LOOK_EVERY_S = 0.5
SNAPSHOT_EVERY_S = 2.0
CHANGE_AFTER = 0.25
"""Share of the sessions after which the application explores otherwise, and has a challenger."""
_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Plan:
    """How many sessions, how fast, of which world."""

    sessions: int
    per_second: float
    seed: int


@dataclass(frozen=True)
class Snapshot:
    """The weights that were served at a moment."""

    sessions: int
    """Decided until then."""
    at: datetime
    weights: Weights


@dataclass
class ShopRun:
    """What came of it."""

    application: Application
    catalogue: Catalogue
    world: list[Session]
    tally: Tally
    snapshots: list[Snapshot] = field(default_factory=list)
    books: tuple[int, int] = (0, 0)
    """Decisions and rewards missing; both must be 0."""
    changed_at: int = 0
    """Sessions until the change."""
    models: Json = field(default_factory=dict)
    """As the API shows them in the end."""
    why: Json = field(default_factory=dict)
    """Why the last arm was shown, as the API explains it."""

    @property
    def final(self) -> Weights:
        """The weights after the last purchase."""
        return self.snapshots[-1].weights

    @property
    def half_way(self) -> Snapshot:
        """Weights from the middle of the run: what was decided later can judge them."""
        middle = len(self.tally.decided) / 2
        return next(one for one in self.snapshots if one.sessions >= middle or one is self.snapshots[-1])


def run_shop(screen: Screen, data: DataFolder, environ: Mapping[str, str], plan: Plan) -> ShopRun:
    """Run every session, wait until all is learnt, stop everything.

    Raises:
        SidearmError: a process died, or did not come to its end.
    """
    application = load_application(FOLDER)
    catalogue = load_catalogue(FOLDER, application)
    world = list(sessions(plan.seed, 0, plan.sessions))
    run = ShopRun(application, catalogue, world, Tally(len(catalogue.arms), HORIZON_S))
    with (
        started(FOLDER, data, port=free_port(), environ=environ) as platform,
        connect(platform.store_url) as client,
    ):
        with screen.bar("sessions", plan.sessions) as show:
            asyncio.run(_drive(platform, client, run, plan, show))
        wait_until_learnt(client, application, deadline_s=_DEADLINE_S, look=lambda _: platform.check())
        run.snapshots.append(_snapshot(client, run))
        run.books = _books(client, application)
        run.models = ask(platform, "/v1/models")
        run.why = ask(platform, f"/v1/decisions/{run.tally.decided[-1].decision_id}/explanation")
    return run


async def _drive(platform: Platform, client: redis.Redis, run: ShopRun, plan: Plan, show: Show) -> None:
    service = Service("127.0.0.1", platform.port, platform.key, time.monotonic)
    looking = asyncio.create_task(_look(platform, client, run, round(plan.sessions * CHANGE_AFTER), show))
    driving = asyncio.create_task(
        run_sessions(
            service,
            run.world,
            run.catalogue.arms,
            run.tally,
            per_second=plan.per_second,
            concurrency=CONCURRENCY,
            seed=plan.seed,
        )
    )
    # Whichever ends first: the sessions, or the look at the processes, which ends only by an error.
    done, others = await asyncio.wait({looking, driving}, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done:
        task.result()
    show(
        len(run.tally.decided),
        line_of(figures_of(run.tally, time.monotonic()), weights_age_s(client, "shop")),
    )


async def _look(platform: Platform, client: redis.Redis, run: ShopRun, change_at: int, show: Show) -> None:
    next_snapshot_s = 0.0
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        platform.check()
        now_s = time.monotonic()
        figures = figures_of(run.tally, now_s)
        show(figures.sessions, line_of(figures, weights_age_s(client, run.application.name)))
        if not run.changed_at and len(run.tally.decided) >= change_at:
            await asyncio.to_thread(change, platform)
            run.changed_at = len(run.tally.decided)
        if now_s >= next_snapshot_s and client.exists(weights_key(run.application.name)):
            run.snapshots.append(_snapshot(client, run))
            next_snapshot_s = now_s + SNAPSHOT_EVERY_S


def line_of(figures: Figures, age_s: float) -> str:
    """The live figures in one line."""
    return (
        f"{figures.per_second:.0f}/s  p50 {figures.p50_ms:.1f} p99 {figures.p99_ms:.1f} ms  "
        f"reward {figures.model} (control {figures.control})"
        f"  weights v{figures.model_version}, {age_s:.1f} s old"
    )


def _snapshot(client: redis.Redis, run: ShopRun) -> Snapshot:
    weights = published_weights(client, run.application.name)
    return Snapshot(len(run.tally.decided), datetime.now(UTC), weights)


def _books(client: redis.Redis, application: Application) -> tuple[int, int]:
    scripts = Scripts.on(client)
    balances = [
        read_books(scripts, Keys(application.name, partition), count_rewards=True)
        for partition in range(application.partitions)
    ]
    return sum(one.decisions for one in balances), sum(one.rewards for one in balances)
