"""Emptying the spool goes on, whatever comes in between."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from decision_service import draining
from decision_service.draining import Drainer, Sent
from decision_service.spool import Spool
from decision_service.telemetry import Telemetry
from sidecar.contracts.ending import end
from sidecar.contracts.spooled import Spooled


async def test_a_fault_of_ours_is_said_and_the_spool_is_sent_later(tmp_path, monkeypatch, caplog):
    """Else what was answered would wait for the next start of the service, and nobody would know."""
    monkeypatch.setattr(draining, "_LONGEST_S", 0.01)
    spool = Spool(tmp_path / "spool", 1 << 20, 10.0, lambda: 1)
    sent = asyncio.Event()
    faults = [TypeError("no reply at all")]

    async def send(held):
        if faults:
            raise faults.pop()
        sent.set()
        return [Sent("ok") for _ in held]

    async def ready():
        return None

    drainer = Drainer(spool, {"reward": send}, ready, 60.0, Telemetry(CollectorRegistry()))
    draining_task = asyncio.create_task(drainer.keep_draining())
    await spool.add(Spooled("reward", 1, b'{"reward_id":"r"}'))
    async with asyncio.timeout(10.0):
        await sent.wait()
    await end(draining_task)

    assert not len(spool)
    assert [record.message for record in caplog.records] == [
        "the spool could not be sent, and is tried again"
    ]
    await spool.close()
