"""The parts of the service, each made of what is there already; nothing is asked of anybody yet."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AsyncExitStack

from msgspec import Struct

from decision_service.activation import Activator
from decision_service.arms import Arms
from decision_service.asking import Asking
from decision_service.breaker import Guard
from decision_service.budget import budget_of
from decision_service.canaries import Canaries
from decision_service.containers import Containers
from decision_service.decider import Decider
from decision_service.deciding import Deciding
from decision_service.decision_lines import lines_of
from decision_service.decisions import Decisions
from decision_service.decoys import Decoys
from decision_service.draining import Drainer
from decision_service.entropy import random_numbers
from decision_service.event_log import EventLog
from decision_service.explanations import Explanations
from decision_service.exploration_desk import ExplorationDesk
from decision_service.explorer import Explorer
from decision_service.features import FeatureSource
from decision_service.live_arms import LiveArms
from decision_service.mailbox import Mailbox
from decision_service.model_admin import ModelAdmin
from decision_service.model_desk import ModelDesk
from decision_service.node_watch import NodeWatch
from decision_service.overload import limits_of
from decision_service.overload_watch import OverloadWatch
from decision_service.prepolicy import Shelves
from decision_service.resending import senders
from decision_service.reward import Rewarder
from decision_service.roster_watch import RosterWatch
from decision_service.rules import Rules
from decision_service.service import Service
from decision_service.staleness import Staleness
from sidecar.contracts import journal
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder

_EXPLAIN_TIMEOUT_S = 2.0


class Ground(Struct, frozen=True):
    """What a service stands on: what its folders hold, read once."""

    catalogue: Catalogue
    shelves: Shelves
    rules: Rules
    features: FeatureSource
    nodes: NodeWatch
    data: DataFolder
    secret: bytes
    """Key of the draw."""


def assemble(service: Service, ground: Ground, stack: AsyncExitStack) -> None:
    """Make every part of ``service``, from the first to the last; ``stack`` closes those that need it."""
    _arms(service, ground, stack)
    service.nodes = ground.nodes
    service.store_guard = _store_guard(service)
    limits, every_s = limits_of(service.application, service.settings), service.settings.overload_look_s
    service.watch = OverloadWatch(service.scripts, service.application, limits, service.telemetry, every_s)
    _exploration(service, ground)
    _models(service, ground)
    _decider(service, ground, stack)
    _writers(service)
    _readers(service, ground)


def _arms(service: Service, ground: Ground, stack: AsyncExitStack) -> None:
    service.live_arms = LiveArms(
        service.scripts,
        service.application.name,
        ground.catalogue,
        ground.shelves,
        service.catalogues,
        service.replica,
        service.telemetry.catalogue_behind,
    )
    stack.push_async_callback(service.live_arms.leave)
    service.arms = Arms(service.live_arms, ground.shelves)


def _store_guard(service: Service) -> Guard:
    """The store must write in a decision's time."""
    clock, keys = asyncio.get_running_loop().time, Keys(service.application.name, 0)
    log_s = budget_of(0.0, service.settings.deadline_ms).log_by

    async def writes() -> None:
        async with asyncio.timeout(log_s):
            await journal.decide(service.scripts, keys, [], max_pending=0, tombstone_ms=1)

    return Guard("store", writes, clock, service.telemetry.breaker)


def _exploration(service: Service, ground: Ground) -> None:
    application, scripts = service.application, service.scripts
    explores = application.exploration.as_logged()
    service.explorer = Explorer(scripts, application.name, explores, ground.rules.segments)
    service.exploration = ExplorationDesk(scripts, application, service.explorer)


def _models(service: Service, ground: Ground) -> None:
    app, scripts, telemetry = service.application.name, service.scripts, service.telemetry
    service.roster = RosterWatch(scripts.client, app, telemetry.follows)
    service.canaries = Canaries(scripts.client, app, telemetry.drifted)
    most_bytes = service.settings.decoy_bytes
    service.decoys = Decoys(
        lambda name: ground.data.inputs(app, name), most_bytes, ground.secret, now_ms, telemetry.decoyed
    )
    service.models = ModelDesk(scripts, app)
    service.model_admin = ModelAdmin(scripts, app, service.models, service.roster)


def _decider(service: Service, ground: Ground, stack: AsyncExitStack) -> None:
    application, settings = service.application, service.settings
    containers = Containers(
        application.name,
        settings,
        ground.data,
        application.exploration.as_logged(),
        lambda: ground.shelves.current.catalogue,
        lambda: service.roster.current,
        service.telemetry.breaker,
    )
    stack.push_async_callback(containers.close)
    service.decider = Decider(
        application=application,
        shelves=ground.shelves,
        features=ground.features,
        models=Mailbox(containers.scorer, lambda: service.roster.current, service.decoys, service.canaries),
        log=EventLog(service.scripts, application, settings.log_batch, service.store_guard, service.spool),
        catalogues=service.catalogues,
        telemetry=service.telemetry,
        share=service.watch.share,
        explore=service.explorer.found,
        staleness=Staleness(settings, containers.trained_until_ms, now_ms),
        deadline_ms=settings.deadline_ms,
        secret=ground.secret,
        now_ms=now_ms,
        loop_time=asyncio.get_running_loop().time,
        entropy=random_numbers(),
        lines=lines_of(settings.log_decisions, application.reward.mode, asyncio.get_running_loop().time),
    )
    most = min(settings.score_batch, settings.log_batch)
    service.deciding = Deciding(
        lambda: service.decider, most, settings.deadline_ms / 1000, settings.busy_wait_ms / 1000
    )
    service.asking = Asking(service.deciding, service.admission, settings.deadline_ms)


def _writers(service: Service) -> None:
    scripts, application, telemetry = service.scripts, service.application, service.telemetry
    most, guard, spool = service.settings.log_batch, service.store_guard, service.spool
    service.rewarder = Rewarder(
        scripts, application, telemetry, lambda: secrets.token_hex(16), most, guard, spool
    )
    service.activator = Activator(scripts, application, telemetry, most, guard, spool)
    by_kind = senders(service.decider.log, service.rewarder, service.activator, application.partitions)
    keep_s = application.reward.tombstone_s
    service.drainer = Drainer(spool, by_kind, service.catalogues.publish, keep_s, telemetry)


def _readers(service: Service, ground: Ground) -> None:
    application, settings = service.application, service.settings
    service.data, service.evaluations = ground.data, ground.data.evaluations(application.name)
    service.decisions = Decisions(
        service.scripts, application, service.catalogues, settings.log_batch, service.spool
    )
    socket_path = settings.sidecar_socket or str(ground.data.sidecar_socket(application.name))
    service.explanations = Explanations(
        service.decisions, service.catalogues, socket_path, _EXPLAIN_TIMEOUT_S
    )


def now_ms() -> int:
    """The wall clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
