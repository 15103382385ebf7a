"""The deployed versions in memory: those that are wanted, none twice, and no more than there is room for."""

from __future__ import annotations

import numpy as np
import pytest
from redis.asyncio import Redis

from sidecar.contracts import keys
from sidecar.contracts.weights import encode_weights
from sidecar.server.deployed import Deployed
from tests.sidecar.policy.test_panel import weights

SIZE_BYTES = 4 << 12


@pytest.fixture
async def client(store, store_url):
    records = {str(version): encode_weights(weights(version, 12, ("ca",))) for version in range(1, 6)}
    store.hset(keys.deployed("shop"), mapping=records)
    found = Redis.from_url(store_url)
    yield found
    await found.aclose()


def versions(held: Deployed) -> list[int]:
    return sorted(version for panel in held.panels for version in panel.versions)


async def test_versions_come_and_go_and_are_held_once(client):
    held = Deployed(client, "shop", 1 << 30)
    await held.follow([b"1", b"2", b"3"])
    (panel,) = held.panels
    assert all(np.shares_memory(one.values, panel.values) for one in panel.members)
    await held.follow([b"3", b"4"])
    assert versions(held) == [3, 4]
    for one in held.panels[0].members:
        assert np.array_equal(one.values, weights(one.header.version, 12, ("ca",)).values)
    await held.follow([])
    assert (held.panels, held.count) == ((), 0)


async def test_what_there_is_no_room_for_is_left_out_until_there_is(client, caplog):
    """Those that answer go on; it is said once, not at every look."""
    held = Deployed(client, "shop", 3 * SIZE_BYTES)
    for _ in range(3):
        await held.follow([b"1", b"2", b"3", b"4", b"5"])
    assert versions(held) == [1, 2, 3]
    assert sum("deployed_bytes is" in line for line in caplog.messages) == 2
    await held.follow([b"2", b"3", b"4", b"5"])
    assert versions(held) == [2, 3, 4]
