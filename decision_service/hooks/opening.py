"""Webhooks put together, of a service that is open."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec

from decision_service.event_log import patiently
from decision_service.hooks.hooks import Hooks
from decision_service.hooks.news import Look, Notice
from decision_service.hooks.outbox import Outbox
from decision_service.hooks.signing import secret_of
from decision_service.service import Service
from decision_service.settings import ServiceSettings
from sidecar.contracts import keys
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.learner_report import Judgement


def addresses_of(settings: ServiceSettings) -> list[str]:
    """Who is to be told.

    Raises:
        BadSettings: an address that is none.
    """
    found = [one.strip() for one in settings.webhooks.split(",") if one.strip()]
    for address in found:
        if not address.startswith(("https://", "http://")):
            raise BadSettings(f"webhooks: {address[:64]!r} is no address; legal: https://… or http://…")
    return found


def hooks_of(service: Service) -> Hooks:
    """Those of its settings.

    Raises:
        BadSettings: an address or the secret cannot be used.
    """
    settings, app = service.settings, service.application.name
    return Hooks(
        Outbox(service.scripts, app, f"{socket.gethostname()}:{os.getpid()}"),
        addresses_of(settings),
        secret_of(settings.webhook_secret),
        lambda notices: seen(service, notices),
        time.time,
        service.telemetry.webhook,
    )


async def seen(service: Service, notices: Sequence[Notice]) -> Look:
    """What there is to be seen now.

    Raises:
        StoreAway: the store did not answer.
        StoreError: likewise.
    """
    app, client = service.application.name, service.scripts.client
    await service.roster.refresh()
    stored = await patiently(lambda: client.hget(keys.learner_status(app), "refusals"))
    return Look(
        app,
        service.decider.now_ms(),
        notices,
        service.roster.current.champion.name,
        _refusals(cast("bytes | None", stored)),
        service.canaries.drifts(),
        await asyncio.to_thread(finished, service.evaluations),
    )


def _refusals(stored: bytes | None) -> list[Judgement]:
    try:
        return msgspec.json.decode(stored or b"[]", type=list[Judgement])
    except msgspec.MsgspecError:
        return []


def finished(folder: Path) -> list[str]:
    """The days whose evaluation is done; none where the folder cannot be read from here."""
    return sorted(path.parent.name for path in folder.glob("*/evaluation.json"))
