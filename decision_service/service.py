"""The service put together: all that has a connection or a state, opened in order, closed in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry

from decision_service.activation import Activator
from decision_service.admission import Admission
from decision_service.arms import Arms
from decision_service.auth import Keyring, load_keys, write_private
from decision_service.bookkeeping import keep_books
from decision_service.breaker import Guard
from decision_service.budget import budget_of
from decision_service.canaries import Canaries
from decision_service.catalogues import Catalogues
from decision_service.containers import Containers
from decision_service.decider import Decider
from decision_service.decisions import Decisions
from decision_service.decoys import Decoys
from decision_service.draining import Drainer
from decision_service.errors import SpoolFailed, StoreAway
from decision_service.event_log import EventLog
from decision_service.explanations import Explanations
from decision_service.exploration_desk import ExplorationDesk
from decision_service.explorer import Explorer
from decision_service.feature_module import Surroundings
from decision_service.features import FeatureSource, open_features
from decision_service.live_arms import LiveArms
from decision_service.mailbox import Mailbox
from decision_service.model_admin import ModelAdmin
from decision_service.model_desk import ModelDesk
from decision_service.notices import follow
from decision_service.overload import limits_of
from decision_service.overload_watch import OverloadWatch
from decision_service.prepolicy import Shelf, Shelves
from decision_service.resending import senders
from decision_service.reward import Rewarder
from decision_service.roster_watch import RosterWatch
from decision_service.rules import load_rules
from decision_service.settings import ServiceSettings
from decision_service.spool import Spool
from decision_service.staleness import Staleness
from decision_service.stream_front import StreamFront
from decision_service.tally import keep_telling
from decision_service.telemetry import Telemetry
from sidecar.contracts import journal
from sidecar.contracts.application import Application, load_catalogue
from sidecar.contracts.crew_figures import Crew
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import AsyncScripts, connect_async, connect_reader_async

log = logging.getLogger("sidearm.decision_service")

_CANCEL_AGAIN_S = 0.1
_TALKS = 5
"""Calls that a partition may have under way: decisions, rewards, clients' keys, activations, look-ups. None
of them ever waits for a connection, which it could do for 50 ms only: a slow disk would then be 503."""
_SPARE_CONNECTIONS = 8  # probes, scrapes, catalogues
_EXPLAIN_TIMEOUT_S = 2.0
_NOTICE_BLOCK_MS = 1000
"""How long one wait for a notice lasts; SIGTERM may wait for it."""
_LAST_DRAIN_S = 2.0
"""Of the drain at the end: what a person waits for after Ctrl-C, far below what an orchestrator allows."""
_READY_WITHOUT_STORE_S = 5.0
"""At the start the store is waited for so long; without it the spool takes what is decided."""
_SECRET_BYTES = 32
_LEAST_SECRET_BYTES, _MOST_SECRET_BYTES = 16, 64


class Service:
    """What the endpoints use; made by :func:`open_service`."""

    def __init__(
        self,
        application: Application,
        settings: ServiceSettings,
        scripts: AsyncScripts,
        catalogues: Catalogues,
        keyring: Keyring,
        telemetry: Telemetry,
        spool: Spool,
        crew: Crew | None = None,
    ) -> None:
        self.application = application
        self._crew = crew
        self.settings = settings
        self.scripts = scripts
        self.catalogues = catalogues
        self.keyring = keyring
        self.telemetry = telemetry
        self.spool = spool
        self.store_guard: Guard
        self.drainer: Drainer
        most = settings.max_in_flight
        self.admission = Admission(most, most // 8, time.monotonic, telemetry.admits)
        self.live_arms: LiveArms
        self.arms: Arms
        self.stopping = False
        """No new callers, please: readiness says so, and answers close their connections."""
        self._opened_s = time.monotonic()
        self.watch: OverloadWatch
        self.explorer: Explorer
        self.exploration: ExplorationDesk
        self.explanations: Explanations
        self.roster: RosterWatch
        self.decoys: Decoys
        self.canaries: Canaries
        self.models: ModelDesk
        self.model_admin: ModelAdmin
        self.decider: Decider
        self.rewarder: Rewarder
        self.activator: Activator
        self.decisions: Decisions

    @property
    def ready(self) -> bool:
        """Whether callers should be sent here: a store that is away is no reason not to."""
        waited_s = time.monotonic() - self._opened_s
        return not self.stopping and (self.live_arms.published or waited_s > _READY_WITHOUT_STORE_S)

    async def look_again(self) -> None:
        """At what the store says of exploration and models.

        Raises:
            StoreError: it did not answer.
        """
        await self.explorer.refresh()
        await self.roster.refresh()
        await self.canaries.refresh(self.roster.current)

    async def figures(self) -> bytes:
        """What this process counted, and how the store is."""
        app, telemetry = self.application, self.telemetry
        telemetry.weights_age(self.decider.staleness.age_s())
        telemetry.under_way(self.admission.under_way)
        telemetry.spool(len(self.spool), self.spool.bytes)
        await keep_books(telemetry, self.scripts, app.name, app.partitions, self.decider.now_ms)
        return telemetry.render()

    async def all_figures(self) -> bytes:
        """Those of every worker of this address."""
        own = await self.figures()
        return own if self._crew is None else await self._crew.with_others(own)


@asynccontextmanager
async def open_service(
    folder: Path,
    application: Application,
    settings: ServiceSettings,
    data: DataFolder,
    store_url: str,
    crew: Crew | None = None,
) -> AsyncIterator[Service]:
    """The service of the application in ``folder``, until the block ends. The store need not be there yet.

    One of a crew, if it is.

    Raises:
        BadApplication: its arms or its features cannot be used.
        BadSettings: the keys or the draw's secret cannot.
    """
    catalogue = load_catalogue(folder, application)
    secret = draw_secret(settings, data)
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        shelves, deadline_s = Shelves(Shelf(catalogue)), settings.deadline_ms / 1000
        around, rules = (
            Surroundings(application.name, folder, store_url),
            load_rules(folder, application.rules),
        )
        telemetry = Telemetry(CollectorRegistry())
        features = await stack.enter_async_context(
            open_features(around, application.features, deadline_s, loop.time, rules, telemetry.mishap)
        )
        client = connect_async(
            store_url,
            timeout_s=settings.store_timeout_ms / 1000,
            max_connections=_TALKS * application.partitions + _SPARE_CONNECTIONS,
        )
        stack.push_async_callback(client.aclose)
        scripts = AsyncScripts.on(client)
        reader = connect_reader_async(store_url, block_s=_NOTICE_BLOCK_MS / 1000)
        stack.push_async_callback(reader.aclose)
        service = Service(
            application,
            settings,
            scripts,
            Catalogues(scripts, application.name, catalogue),
            Keyring(load_keys(data.keys)),
            telemetry,
            Spool(
                data.spool(application.name), settings.spool_bytes, settings.spool_timeout_ms / 1000, _now_ms
            ),
            crew,
        )
        stack.push_async_callback(service.spool.close)
        service.live_arms = LiveArms(
            scripts,
            application.name,
            catalogue,
            shelves,
            service.catalogues,
            f"{socket.gethostname()}:{os.getpid()}",
            service.telemetry.catalogue_behind,
        )
        stack.push_async_callback(service.live_arms.leave)
        service.arms = Arms(service.live_arms, shelves)
        service.store_guard = _store_guard(service)
        service.watch = _watch(service)
        explores = application.exploration.as_logged()
        service.explorer = Explorer(scripts, application.name, explores, rules.segments)
        service.exploration = ExplorationDesk(scripts, application, service.explorer)
        service.roster = RosterWatch(scripts.client, application.name, service.telemetry.follows)
        service.canaries = Canaries(scripts.client, application.name, service.telemetry.drifted)
        service.decoys = _decoys(service, data, secret)
        service.models = ModelDesk(scripts, application.name)
        service.model_admin = ModelAdmin(scripts, application.name, service.models, service.roster)
        containers = _containers(service, shelves, data)
        stack.push_async_callback(containers.close)
        service.decider = _decider(service, shelves, features, containers, secret)
        writes = service.store_guard, service.spool
        service.rewarder = Rewarder(
            scripts,
            application,
            service.telemetry,
            lambda: secrets.token_hex(16),
            settings.log_batch,
            *writes,
        )
        service.activator = Activator(scripts, application, service.telemetry, settings.log_batch, *writes)
        service.decisions = Decisions(
            scripts, application, service.catalogues, settings.log_batch, service.spool
        )
        service.explanations = Explanations(
            service.decisions,
            service.catalogues,
            settings.sidecar_socket or str(data.sidecar_socket(application.name)),
            _EXPLAIN_TIMEOUT_S,
        )
        service.drainer = _drainer(service)
        stack.push_async_callback(_drain_at_last, service.drainer)
        with suppress(SpoolFailed):  # then somebody repeats, and is recognised
            await service.drainer.adopt()
        for work in (
            service.live_arms.follow(),
            service.watch.keep_watch(),
            follow(reader, application.name, service.look_again, _NOTICE_BLOCK_MS),
            keep_telling(service.telemetry.tally, scripts, application.name),
            service.store_guard.keep_probing(),
            service.drainer.keep_draining(),
            service.decoys.keep_writing(),
        ):
            stack.push_async_callback(
                _end, asyncio.create_task(work)
            )  # before the client closes under its feet
        if settings.stream_front:
            front = connect_reader_async(settings.stream_url or store_url, block_s=_NOTICE_BLOCK_MS / 1000)
            stack.push_async_callback(front.aclose)
            serving = StreamFront(service, front, _NOTICE_BLOCK_MS, settings.stream_patience_s).serve()
            stack.push_async_callback(_end, asyncio.create_task(serving))
        if crew is not None:
            await stack.enter_async_context(crew.listening(service.figures))
        yield service


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel ``task`` and see it end, however it does.

    More than once if need be: a call whose answer comes in the moment of its cancellation goes on.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_S)
    await asyncio.gather(task, return_exceptions=True)


async def _drain_at_last(drainer: Drainer) -> None:
    """What waits is sent if the store is there; else whoever starts next finds it on the disk."""
    with suppress(TimeoutError, StoreAway, SpoolFailed):
        async with asyncio.timeout(_LAST_DRAIN_S):
            await drainer.drain()


def _store_guard(service: Service) -> Guard:
    """The store must write in a decision's time."""
    clock, keys = asyncio.get_running_loop().time, Keys(service.application.name, 0)
    log_s = budget_of(0.0, service.settings.deadline_ms).log_by

    async def writes() -> None:
        async with asyncio.timeout(log_s):
            await journal.decide(service.scripts, keys, [], max_pending=0, tombstone_ms=1)

    return Guard("store", writes, clock, service.telemetry.breaker)


def _decoys(service: Service, data: DataFolder, secret: bytes) -> Decoys:
    app, most_bytes = service.application.name, service.settings.decoy_bytes
    return Decoys(lambda name: data.inputs(app, name), most_bytes, secret, _now_ms, service.telemetry.decoyed)


def _containers(service: Service, shelves: Shelves, data: DataFolder) -> Containers:
    tell = service.telemetry.breaker
    exploration = service.application.exploration.as_logged()
    return Containers(
        service.application.name,
        service.settings,
        data,
        exploration,
        lambda: shelves.current.catalogue,
        lambda: service.roster.current,
        tell,
    )


def _drainer(service: Service) -> Drainer:
    application, events = service.application, service.decider.log
    by_kind = senders(events, service.rewarder, service.activator, application.partitions)
    keep_s = application.reward.tombstone_s
    return Drainer(service.spool, by_kind, service.catalogues.publish, keep_s, service.telemetry)


def _watch(service: Service) -> OverloadWatch:
    limits, every_s = limits_of(service.application, service.settings), service.settings.overload_look_s
    return OverloadWatch(service.scripts, service.application, limits, service.telemetry, every_s)


def _decider(
    service: Service, shelves: Shelves, features: FeatureSource, containers: Containers, secret: bytes
) -> Decider:
    application, settings = service.application, service.settings
    return Decider(
        application=application,
        shelves=shelves,
        features=features,
        models=Mailbox(containers.scorer, lambda: service.roster.current, service.decoys, service.canaries),
        log=EventLog(service.scripts, application, settings.log_batch, service.store_guard, service.spool),
        catalogues=service.catalogues,
        telemetry=service.telemetry,
        share=service.watch.share,
        explore=service.explorer.found,
        staleness=Staleness(settings, containers.trained_until_ms, _now_ms),
        deadline_ms=settings.deadline_ms,
        secret=secret,
        now_ms=_now_ms,
        loop_time=asyncio.get_running_loop().time,
        entropy=random_numbers(),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def random_numbers(at_once: int = 512) -> Callable[[], int]:
    """64 random bits at a time. The kernel is asked for many together: each call costs as much."""
    left: list[int] = []

    def number() -> int:
        if not left:
            left.extend(memoryview(os.urandom(8 * at_once)).cast("Q"))
        return left.pop()

    return number


def draw_secret(settings: ServiceSettings, data: DataFolder) -> bytes:
    """Key of the draw: from the settings, else from the data folder, where the first start puts it.

    Raises:
        BadSettings: it is not hex, or too short.
    """
    path = data.draw_secret
    if not settings.draw_secret and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, secrets.token_hex(_SECRET_BYTES).encode())
    text = settings.draw_secret or path.read_text()
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        raise BadSettings("draw_secret is not hex; legal: at least 32 characters 0-9, a-f") from None
    if not _LEAST_SECRET_BYTES <= len(secret) <= _MOST_SECRET_BYTES:
        legal = f"{2 * _LEAST_SECRET_BYTES} to {2 * _MOST_SECRET_BYTES}"
        raise BadSettings(f"draw_secret has {2 * len(secret)} characters; legal: {legal}")
    return secret
