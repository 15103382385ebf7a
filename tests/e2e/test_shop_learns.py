"""The shop through HTTP, everything real: twenty thousand sessions teach most of what there is to know."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import pytest

from decision_service.cli.platform import Platform, free_port, started
from examples.settled import published_weights, wait_until_learnt
from examples.shop.figures import Tally
from examples.shop.simulator import FOLDER, sessions
from examples.shop.traffic import Service, run_sessions
from examples.shop.truth import worth_of
from policy_learner.replay import replay
from sidecar.contracts.application import load_catalogue
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import Scripts, connect
from sidecar.contracts.upkeep import read_books


class World(NamedTuple):
    """The parameters of the claim, frozen: 20,000 sessions, a horizon of 2 s, half of the possible gain."""

    sessions: int = 20_000
    per_second: float = 900.0
    concurrency: int = 16
    horizon_s: float = 2.0
    least_share_of_gain: float = 0.5


WORLD = World()


def run(platform: Platform, seed: int) -> Tally:
    """All sessions of the seed, and all their purchases."""
    arms = load_catalogue(FOLDER, platform.application).arms
    tally = Tally(len(arms), platform.application.reward.horizon_s)
    service = Service("127.0.0.1", platform.port, platform.key, time.monotonic)
    visits = sessions(seed, 0, WORLD.sessions)
    asyncio.run(
        run_sessions(
            service,
            visits,
            arms,
            tally,
            per_second=WORLD.per_second,
            concurrency=WORLD.concurrency,
            seed=seed,
        )
    )
    return tally


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_greedy_policy_on_the_final_weights_earns_most_of_the_possible_gain(
    seed: int, data_folder: DataFolder
) -> None:
    """By the simulator's truth; and the books balance, and the log replays to the last bit."""
    with started(FOLDER, data_folder, port=free_port(), environ={}) as platform:
        application = platform.application
        assert application.reward.horizon_s == WORLD.horizon_s
        tally = run(platform, seed)
        with connect(platform.store_url) as client:
            wait_until_learnt(client, application, deadline_s=60.0)
            weights = published_weights(client, application.name)
            scripts = Scripts.on(client)
            partitions = [Keys(application.name, p) for p in range(application.partitions)]
            assert all(read_books(scripts, keys, count_rewards=True).balanced for keys in partitions)
        assert weights.header.examples == WORLD.sessions
    assert len(tally.decided) == WORLD.sessions
    assert not tally.failed
    worth = worth_of(weights, load_catalogue(FOLDER, application))
    assert worth.share_of_gain >= WORLD.least_share_of_gain, worth
    replayed = replay(application, data_folder)
    assert replayed.counts["decisions"] == replayed.counts["drawn"] == WORLD.sessions
    assert not replayed.mismatches
