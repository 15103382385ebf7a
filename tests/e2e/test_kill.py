"""Every process is killed in turn under load; nothing is lost and nothing is double."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from sidecar.contracts.books import books, counters_of
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from tests.e2e.callers import Caller, callers_at, free_port, progress
from tests.e2e.ledger import check_decisions, check_replay, check_rewards, check_training, logged, spooled
from tests.e2e.platform import Platform, write_application
from tests.processes import Processes
from tests.waiting import until

PARTITIONS = 2
CALLERS = 6
BETWEEN_KILLS = 150


@pytest.mark.slow
def test_killing_each_process_under_load_loses_and_doubles_nothing(
    tmp_path: Path, data_folder: DataFolder, processes: Processes
) -> None:
    """Books balance; every decision has one row and one training effect, every reward one place."""
    application = write_application(tmp_path / "app", horizon_s=1.0, partitions=PARTITIONS)
    platform = Platform(processes, application, data_folder, free_port())
    platform.start_all()
    try:
        callers = load_while_killing(platform, ["learner", "sidecar", "service", "store", "learner", "store"])
        client = redis.Redis.from_url(platform.store.url)
        until(lambda: not spooled(data_folder), 60.0, "all that was written down beside is in the store")
        keys = [Keys("kill", p) for p in range(PARTITIONS)]
        until(
            lambda: not any(client.zcard(k.due) + client.zcard(k.orphans) for k in keys),
            60.0,
            "all finalised",
        )
        assert platform.stop("learner") == 0, platform.output("learner")
        counted = [counters_of(client.hgetall(k.counters)) for k in keys]
        assert all(books(c, pending=0, awaited=0, open_rewards=0).balanced for c in counted), counted
        rows, late = logged(data_folder)
        check_decisions(callers, rows, counted)
        check_rewards(callers, rows, late)
        check_training(client, rows)
    finally:
        for name in ("service", "sidecar", "store"):
            platform.stop(name)
    check_replay(platform)


def load_while_killing(platform: Platform, victims: list[str]) -> list[Caller]:
    """Callers that are done, after each victim was killed while they asked, and started again."""
    with callers_at([platform] * CALLERS) as callers:
        for victim in victims:
            progress(callers, BETWEEN_KILLS)
            platform.kill(victim)
            platform.start(victim)
        progress(callers, BETWEEN_KILLS)
    return callers
