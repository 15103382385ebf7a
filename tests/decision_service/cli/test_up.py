"""``sidearm up``: everything starts, says where it is, ends in order, and leaves nothing alive."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from decision_service.cli.platform import ALL, free_port
from decision_service.cli.store import FEATURE_STORE, STORE, running_pid
from sidecar.contracts.layout import DataFolder
from tests.processes import Processes, pid_exists, short_folder
from tests.waiting import until

SIDEARM = Path(sys.executable).with_name("sidearm")
SHOP = Path(__file__).parents[3] / "examples" / "shop"
READY_S = 60.0
SERVERS = (STORE.name, FEATURE_STORE.name)
HELPERS = (("joiner", "joiner-1"), ("joiner", "joiner-2"), ("archiver", "archiver"))
slow = pytest.mark.slow  # two seconds each, and one of each kind is enough for every day


class Up:
    """A running ``sidearm up``."""

    def __init__(self, processes, data_folder, *more, app=SHOP, **environ):
        self.data = data_folder
        self.port = free_port()
        command = [SIDEARM, "up", app, "--data", data_folder.root, "--port", self.port, *more]
        self.process = processes.run(list(map(str, command)), "up", {"COLUMNS": "300", **environ})

    def wait_until_ready(self):
        self.process.wait_until(lambda: "service  " in self.process.output(), READY_S)
        return self

    def pids(self):
        """Process name to pid, as printed."""
        rows = re.findall(
            r"^(store|features|sidecar|learner|service|archiver|evaluation|joiner-\d+) +(\d+) +running",
            self.process.output(),
            re.M,
        )
        return {name: int(pid) for name, pid in rows}


@pytest.fixture
def up(processes, data_folder):
    return Up(processes, data_folder).wait_until_ready()


def assert_nothing_lives(up, pids):
    assert {name for name, pid in pids.items() if pid_exists(pid)} == set()
    # A killed server looks dead before its last thread has let go of the lock.
    for kind in (STORE, FEATURE_STORE):
        until(lambda kind=kind: running_pid(up.data, kind) is None, what="the data folder's lock to be free")


@slow
def test_sigterm_stops_everything_orderly(processes, data_folder):
    """As Ctrl-C does."""
    stops_orderly(Up(processes, data_folder).wait_until_ready(), signal.SIGTERM)


def stops_orderly(up, number):
    """Exit code 0, every process gone, the store told to end and not killed."""
    pids = up.pids()
    assert set(pids) == {*SERVERS, *ALL}
    assert re.search(r"API key +sk_[0-9a-f]{64}", up.process.output())
    assert f"http://127.0.0.1:{up.port}/docs" in up.process.output()

    os.kill(up.process.pid, number)

    assert up.process.exit_code(60) == 0, up.process.output()
    assert up.process.output().rstrip().endswith("stopped")
    assert_nothing_lives(up, pids)
    for name in SERVERS:
        assert "bye bye" in (up.data.run / f"{name}.log").read_text(), f"the orderly end of {name}"


@slow
def test_joiners_and_the_archiver_are_started_listed_and_stopped(processes, data_folder):
    """`--joiners 2 --archiver`: each has its line, says so in `sidearm status`, and is gone at the end.

    Where an evaluation is asked for every night, somebody waits for that time, too.
    """
    nightly = {"SIDEARM_EVALUATION_AT": "03:00"}
    up = Up(processes, data_folder, "--joiners", 2, "--archiver", **nightly).wait_until_ready()
    pids = up.pids()
    assert set(pids) == {*SERVERS, *ALL, "archiver", "evaluation", "joiner-1", "joiner-2"}
    command = [str(SIDEARM), "status", str(SHOP), "--data", str(data_folder.root)]

    def listed():
        said = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
        return all(re.search(rf"^{kind}-\S+ +{pids[name]} ", said.stdout, re.M) for kind, name in HELPERS)

    until(listed, 30.0)
    up.process.child.send_signal(signal.SIGTERM)
    assert up.process.exit_code(60) == 0, up.process.output()
    assert_nothing_lives(up, pids)


def test_kill_9_of_up_leaves_no_orphan(up):
    """Every process dies with the one that started it."""
    pids = up.pids()
    up.process.kill()
    until(lambda: not any(map(pid_exists, pids.values())), what="the end of all processes")
    assert_nothing_lives(up, pids)


@pytest.mark.parametrize(
    "name",
    ["service", *[pytest.param(name, marks=slow) for name in ("store", "features", "sidecar", "learner")]],
)
def test_a_process_that_dies_is_reported_and_nothing_restarted(up, name):
    """The rest is stopped, and the report names it and its log."""
    pids = up.pids()
    os.kill(pids[name], signal.SIGKILL)
    assert up.process.exit_code(60) == 1
    assert f"{name} ended with code -9" in up.process.output()
    assert f"{name}.log" in up.process.output()
    assert_nothing_lives(up, pids)


@pytest.mark.parametrize(
    "section", ["learner", pytest.param("decision_service", marks=slow), pytest.param("sidecar", marks=slow)]
)
def test_a_mistyped_setting_is_one_line_and_exit_code_2(processes, data_folder, tmp_path, section):
    """The process that refused it is named, the legal names are listed, nothing is left."""
    app = tmp_path / "app"
    shutil.copytree(SHOP, app)
    toml, header = app / "app.toml", f"[{section}]\n"
    text = toml.read_text()
    text = text if header in text else f"{text}\n{header}"
    toml.write_text(text.replace(header, f"{header}no_such_setting = 1\n"))
    up = Up(processes, data_folder, app=app)
    assert up.process.exit_code(60) == 2, up.process.output()
    said = up.process.output().splitlines()[-1]
    assert said.startswith("sidearm: ")
    assert "no_such_setting" in said
    assert "known here" in said
    assert running_pid(data_folder) is None


@slow
def test_it_starts_again_on_what_it_left(processes, data_folder):
    """A second run on the same data folder finds the key and the store's data."""
    keys = []
    for _ in range(2):
        up = Up(processes, data_folder).wait_until_ready()
        keys += re.findall(r"sk_[0-9a-f]{64}", up.process.output())[:1]
        assert up.process.stop(60) == 0
    assert keys[0] == keys[1]


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """One that nobody ends but the last test."""
    started, folder = Processes(tmp_path_factory.mktemp("up")), short_folder()
    yield Up(started, DataFolder(folder)).wait_until_ready()
    started.stop_all()
    shutil.rmtree(folder, ignore_errors=True)


def test_the_printed_calls_work_as_printed(standing):
    """The two curl lines decide, and reward what was decided."""
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    calls = re.findall(r"^curl .*\\\n.*$", standing.process.output(), re.M)
    answers = [
        json.loads(subprocess.run(["sh", "-c", call], capture_output=True, check=True).stdout)
        for call in calls
    ]
    assert answers[0]["arm"]
    assert answers[1]["status"] == "accepted"


def test_two_platforms_on_one_data_folder_are_refused(standing, processes):
    """The second says who is there; the first goes on."""
    second = Up(processes, standing.data)
    assert second.process.exit_code(60) == 2
    assert "is running already" in second.process.output()
    assert standing.process.alive()


def test_ctrl_c_stops_everything_orderly(standing):
    """Exit code 0, every process gone, the store told to end and not killed."""
    stops_orderly(standing, signal.SIGINT)
