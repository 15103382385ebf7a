"""Looks at the load once a second, so that a decision need not."""

from __future__ import annotations

import asyncio
import logging

from decision_service.errors import StoreAway
from decision_service.event_log import patiently
from decision_service.overload import Limits, Load, Share, ask, load_of, share_of
from decision_service.telemetry import Telemetry
from sidecar.contracts.application import Application
from sidecar.contracts.store import AsyncScripts

log = logging.getLogger("sidearm.decision_service")


class OverloadWatch:
    """The share of each partition's decisions that is logged; belongs to one event loop.

    Args:
        scripts: on the store.
        application: its partitions.
        limits: from where on less is logged.
        telemetry: shows the shares.
        every_s: between two looks.
    """

    def __init__(
        self,
        scripts: AsyncScripts,
        application: Application,
        limits: Limits,
        telemetry: Telemetry,
        every_s: float,
    ) -> None:
        self._client = scripts.client
        self._app, self._partitions = application.name, application.partitions
        self._limits, self._telemetry, self._every_s = limits, telemetry, every_s
        self._shares = [Share()] * application.partitions

    def share(self, partition: int) -> float:
        """1: every decision is logged; 0: none."""
        return self._shares[partition].value

    async def keep_watch(self) -> None:
        """For ever. While the store is away the last look stands: nothing can be logged anyway."""
        blind = False
        while True:
            try:
                self._see(await patiently(self._look))
                blind = False
            except StoreAway as error:
                if not blind:
                    log.warning("the load cannot be seen: %s", error.__cause__)
                blind = True
            await asyncio.sleep(self._every_s)

    async def _look(self) -> Load:
        pipe = self._client.pipeline(transaction=False)
        ask(pipe, self._app, self._partitions)
        return load_of(*await pipe.execute())

    def _see(self, load: Load) -> None:
        self._telemetry.memory(load.memory_bytes, load.memory_limit_bytes)
        for partition, before in enumerate(self._shares):
            share = share_of(load, partition, self._limits)
            if (share.value < 1.0) != (before.value < 1.0):
                _tell(partition, share)
            self._shares[partition] = share
            self._telemetry.share(partition, share.value)


def _tell(partition: int, share: Share) -> None:
    if share.reason:
        log.warning("overload in partition %d: %s; a share of decisions is logged", partition, share.reason)
    else:
        log.warning("overload in partition %d is over: every decision is logged", partition)
