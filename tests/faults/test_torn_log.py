"""A power cut in the middle of a script's transaction: all of it is gone, at every start that follows."""

from __future__ import annotations

import os

import pytest

from decision_service.cli.store import start_store
from sidecar.contracts.store import connect
from tests.faults.power import size_of_log

SCRIPT = "redis.call('HSET','h',ARGV[1],1) redis.call('INCR','n') redis.call('RPUSH','l',ARGV[1]) return 1"


def run_and_die(data, *names):
    """What the store holds after the scripts; then it is killed."""
    with start_store(data) as server, connect(server.url) as client:
        for name in names:
            client.eval(SCRIPT, 0, name)
        held = client.hlen("h"), int(client.get("n")), client.llen("l")
        server.kill()
    return held


@pytest.mark.parametrize("torn_bytes", [1, 12, 25, 45, 60, 90, 110])
def test_half_a_transaction_never_comes_back(data_folder, torn_bytes):
    """Neither when the server starts after the cut, nor after the next one, when more has been written."""
    assert run_and_die(data_folder, "a", "b", "c") == (3, 3, 3)
    (log,) = data_folder.store.glob("appendonlydir/*.incr.aof")
    os.truncate(log, size_of_log(data_folder.store) - torn_bytes)
    assert run_and_die(data_folder, "d") == (3, 3, 3)
    assert run_and_die(data_folder) == (3, 3, 3)


def test_a_whole_log_is_left_as_it_is(data_folder):
    """Nothing is cut where nothing is torn."""
    run_and_die(data_folder, "a", "b")
    size = size_of_log(data_folder.store)
    assert run_and_die(data_folder) == (2, 2, 2)
    assert size_of_log(data_folder.store) == size
