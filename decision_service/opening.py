"""The service put together: all that has a connection or a state, opened in order, closed in reverse."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from decision_service.assembling import Ground, assemble, now_ms
from decision_service.auth import Keyring, load_keys
from decision_service.catalogues import Catalogues
from decision_service.console.session import Sessions
from decision_service.draining import Drainer
from decision_service.draw_secret import draw_secret
from decision_service.errors import SpoolFailed, StoreAway
from decision_service.feature_module import Surroundings
from decision_service.features import open_features
from decision_service.mishaps import Mishaps
from decision_service.node_watch import NodeWatch
from decision_service.notices import follow
from decision_service.prepolicy import Shelf, Shelves
from decision_service.rules import load_rules
from decision_service.service import Service
from decision_service.settings import ServiceSettings
from decision_service.spool import Spool
from decision_service.stream_front import StreamFront
from decision_service.tally_telling import Teller
from decision_service.telemetry import Telemetry
from sidecar.contracts.application import Application
from sidecar.contracts.catalogue import load_catalogue
from sidecar.contracts.crew_figures import Crew
from sidecar.contracts.ending import at_most, end
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import AsyncClient, AsyncScripts, connect_async, connect_reader_async
from sidecar.contracts.store_address import Stores
from sidecar.contracts.tracing import flush, tracers_of

_TALKS = 5
"""Calls that a partition may have under way: decisions, rewards, clients' keys, activations, look-ups. None
of them ever waits for a connection, which it could do for 50 ms only: a slow disk would then be 503."""
_SPARE_CONNECTIONS = 8  # probes, scrapes, catalogues
_NOTICE_BLOCK_MS = 1000
"""How long one wait for a notice lasts; SIGTERM may wait for it."""
_LAST_WORD_S = 2.0
"""Of the drain at the end: what a person waits for after Ctrl-C, far below what an orchestrator allows."""

Work = Coroutine[Any, Any, None]


@asynccontextmanager
async def open_service(
    folder: Path,
    application: Application,
    settings: ServiceSettings,
    data: DataFolder,
    stores: Stores,
    crew: Crew | None = None,
) -> AsyncIterator[Service]:
    """The service of the application in ``folder``, until the block ends. The stores need not be there yet.

    One of a crew, if it is.

    Raises:
        BadApplication: its arms, its features or its rules cannot be used.
        BadSettings: the keys or the draw's secret cannot.
    """
    async with AsyncExitStack() as stack:
        telemetry = Telemetry(CollectorRegistry())
        if (tracers := tracers_of("decision-service", os.environ)) is not None:
            from decision_service.tracing import Tracing  # OpenTelemetry, for those who look

            telemetry.tracing = Tracing(tracers)
            stack.callback(flush, tracers)
        around = Surroundings(application.name, folder, stores.store, stores.features)
        ground = await _ground(around, application, settings, data, telemetry, stack)
        most = _TALKS * application.partitions + _SPARE_CONNECTIONS
        client = connect_async(stores.store, timeout_s=settings.store_timeout_ms / 1000, max_connections=most)
        stack.push_async_callback(client.aclose)
        scripts = AsyncScripts.on(client)
        reader = connect_reader_async(stores.store, block_s=_NOTICE_BLOCK_MS / 1000)
        stack.push_async_callback(reader.aclose)
        catalogues = Catalogues(scripts, application.name, ground.catalogue)
        sessions = Sessions(ground.secret, now_ms)
        keyring = Keyring(load_keys(data.keys), sessions)
        spool = _spool(application, settings, data)
        service = Service(
            application, settings, scripts, catalogues, keyring, sessions, telemetry, spool, crew
        )
        service.folder = folder
        stack.push_async_callback(spool.close)
        assemble(service, ground, stack)
        await _work(service, reader, stack)
        if settings.stream_front:
            await _serve_streams(service, settings.stream_url or stores.store, stack)
        if crew is not None:
            await stack.enter_async_context(crew.listening(service.figures))
        yield service


async def _ground(
    around: Surroundings,
    application: Application,
    settings: ServiceSettings,
    data: DataFolder,
    telemetry: Telemetry,
    stack: AsyncExitStack,
) -> Ground:
    """What the folders hold, with the clients of the application's features open."""
    catalogue, secret = load_catalogue(around.folder, application), draw_secret(settings, data)
    rules, loop_time = load_rules(around.folder, application.rules), asyncio.get_running_loop().time
    deadline_s, nodes = settings.deadline_ms / 1000, NodeWatch(time.monotonic, now_ms)
    mishaps = Mishaps(telemetry.mishap, nodes.look)
    features = await stack.enter_async_context(
        open_features(around, application.features, deadline_s, loop_time, rules, mishaps)
    )
    return Ground(catalogue, Shelves(Shelf(catalogue)), rules, features, nodes, data, secret)


def _spool(application: Application, settings: ServiceSettings, data: DataFolder) -> Spool:
    timeout_s = settings.spool_timeout_ms / 1000
    return Spool(data.spool(application.name), settings.spool_bytes, timeout_s, now_ms)


async def _work(service: Service, reader: AsyncClient, stack: AsyncExitStack) -> None:
    """Begin what goes on beside the requests. It ends before the client closes under its feet."""
    stack.push_async_callback(_drain_at_last, service.drainer)
    teller = Teller(service.telemetry, service.scripts, service.application.name, service.decider.now_ms)
    stack.push_async_callback(_tell_at_last, teller)
    with suppress(SpoolFailed):  # then somebody repeats, and is recognised
        await service.drainer.adopt()
    for work in _works(service, reader, teller):
        stack.push_async_callback(end, asyncio.create_task(work))


def _works(service: Service, reader: AsyncClient, teller: Teller) -> Iterator[Work]:
    app = service.application.name
    yield service.live_arms.follow()
    yield service.watch.keep_watch()
    yield follow(reader, app, service.look_again, _NOTICE_BLOCK_MS)
    yield teller.keep_telling()
    yield service.nodes.keep_telling(service.scripts, app, service.replica)
    yield service.store_guard.keep_probing()
    yield service.drainer.keep_draining()
    yield service.decoys.keep_writing()
    if service.settings.webhooks:
        from decision_service.hooks.opening import hooks_of  # httpx, for the few who need it

        yield from hooks_of(service).works()


async def _serve_streams(service: Service, url: str, stack: AsyncExitStack) -> None:
    front = connect_reader_async(url, block_s=_NOTICE_BLOCK_MS / 1000)
    stack.push_async_callback(front.aclose)
    serving = StreamFront(service, front, _NOTICE_BLOCK_MS, service.settings.stream_patience_s).serve()
    stack.push_async_callback(end, asyncio.create_task(serving))


async def _drain_at_last(drainer: Drainer) -> None:
    """What waits is sent if the store is there; else whoever starts next finds it on the disk."""
    with suppress(TimeoutError, StoreAway, SpoolFailed):
        await at_most(_LAST_WORD_S, _drained(drainer))


async def _drained(drainer: Drainer) -> None:
    await drainer.drain()


async def _tell_at_last(teller: Teller) -> None:
    """Who answered the last decisions, if the store is there to be told."""
    with suppress(TimeoutError, StoreAway):
        await at_most(_LAST_WORD_S, teller.tell())
