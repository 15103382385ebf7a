"""Canaries: the same model on another world is noticed, on the same world it is not."""

from __future__ import annotations

import numpy as np
import pytest

from decision_service.canaries import REFERENCE_DECISIONS, Canaries
from decision_service.drift import bin_of, reference_of, stability_index
from decision_service.scored import Scored
from sidecar.contracts import keys
from sidecar.contracts.application import Exploration
from sidecar.contracts.roster import FIRST_ROSTER, Model
from sidecar.contracts.roster_changes import with_model
from sidecar.contracts.store import connect_async

ROSTER = with_model(FIRST_ROSTER, Model(name="bird", role="canary", version=3))


@pytest.fixture
async def client(store_url):
    client = connect_async(store_url)
    yield client
    await client.aclose()


def sing(canaries, scores, roster=ROSTER):
    for score in scores:
        values = np.array([score - 1.0, score], np.float32)
        said = {name: Scored(values, Exploration(), "model", name, 3) for name in ("champion", "bird")}
        canaries.heard(roster, said)


def gaussian(count, mean=0.0, seed=1):
    return np.random.default_rng(seed).normal(mean, 1.0, count)


async def test_a_world_that_stays_is_near_0_and_one_that_moves_is_not(client):
    told = {}
    canaries = Canaries(client, "shop", told.__setitem__)
    sing(canaries, gaussian(REFERENCE_DECISIONS))
    await canaries.refresh(ROSTER)
    sing(canaries, gaussian(6_000, seed=2))
    assert told["bird"] < 0.05
    sing(canaries, gaussian(6_000, mean=1.0, seed=3))
    assert told["bird"] > 0.5
    sing(canaries, gaussian(20_000, seed=4))
    assert told["bird"] < 0.05


async def test_every_replica_compares_with_the_first_reference(client, store):
    """And so does one that starts again; another version is another canary."""
    one, two, late = (Canaries(client, "shop", lambda *_: None) for _ in range(3))
    sing(one, gaussian(REFERENCE_DECISIONS))
    await one.refresh(ROSTER)
    kept = store.hgetall(keys.canaries("shop"))
    sing(two, gaussian(REFERENCE_DECISIONS, mean=5.0))
    await two.refresh(ROSTER)
    await late.refresh(ROSTER)
    assert store.hgetall(keys.canaries("shop")) == kept
    assert list(kept) == [b"bird@3"]
    told = {}
    two._tell = told.__setitem__
    sing(two, gaussian(500, mean=5.0))
    assert told["bird"] > 1.0


async def test_nothing_is_said_too_early_nor_of_who_left(client):
    told = {}
    canaries = Canaries(client, "shop", told.__setitem__)
    sing(canaries, gaussian(REFERENCE_DECISIONS - 1))
    await canaries.refresh(ROSTER)
    sing(canaries, gaussian(150))
    assert not told
    await canaries.refresh(FIRST_ROSTER)
    assert not canaries._flights
    sing(canaries, gaussian(10), FIRST_ROSTER)
    assert not canaries._flights


async def test_foreign_bytes_are_no_reference(client, store, caplog):
    store.hset(keys.canaries("shop"), "bird@3", b"rubbish")
    canaries = Canaries(client, "shop", lambda *_: None)
    await canaries.refresh(ROSTER)
    assert "no reference" in caplog.text


def test_the_index_is_0_only_where_nothing_moved():
    reference = reference_of(gaussian(5_000).tolist())
    shares = np.array(reference.shares)
    assert stability_index(reference, shares * 1e9) == pytest.approx(0.0, abs=1e-6)
    assert stability_index(reference, np.roll(shares, 3) * 1e9 + 1.0) >= 0.0
    assert len(reference.shares) == len(reference.edges) + 1 == 20
    assert sum(reference.shares) == pytest.approx(1.0)


def test_a_score_that_is_always_the_same_has_bins_all_the_same():
    """A canary without interactions may say one thing of everybody."""
    reference = reference_of([2.5] * 100)
    counts = np.zeros(len(reference.shares))
    counts[bin_of(reference, 2.5)] = 100.0
    assert stability_index(reference, counts) == pytest.approx(0.0, abs=1e-9)
    counts[:] = 0.0
    counts[bin_of(reference, 2.6)] = 100.0
    assert stability_index(reference, counts) > 1.0
