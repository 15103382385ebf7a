"""The probe of the learner and its helpers: alive, stuck, not ready and why, and a store that is away."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
import redis

from policy_learner import probe
from sidecar.contracts.keys import learner_status
from sidecar.contracts.scripts.working import Worker, working_call
from sidecar.contracts.store import Scripts
from tests.e2e.platform import write_application
from tests.processes import Processes


@pytest.fixture
def environ(tmp_path: Path, store_url: str) -> dict[str, str]:
    application = write_application(tmp_path / "app", horizon_s=1.0)
    return {"SIDEARM_APP": str(application), "REDIS_URL": store_url}


def write_status(store: redis.Redis, age_ms: int, last_error: str = "") -> None:
    """As the learner would have written it so long ago."""
    seconds, micros = store.time()
    fields = dict.fromkeys(probe.Status.__struct_fields__, 0)
    fields |= {"state": "running", "positions": "[]", "last_error": last_error, "examples_per_s": 0.0}
    at_ms = int(seconds) * 1000 + int(micros) // 1000 - age_ms
    store.hset(learner_status("kill"), mapping=fields | {"at_ms": at_ms})


def test_a_learner_that_wrote_lately_is_alive(environ: dict[str, str], store: redis.Redis) -> None:
    """So is one that has not written yet."""
    assert probe.main(environ) == 0
    write_status(store, 1_000)
    assert probe.main(environ) == 0


def test_a_learner_that_has_not_written_for_long_is_stuck(
    environ: dict[str, str], store: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last sign of life is named."""
    write_status(store, probe.STUCK_AFTER_MS + 5_000)
    assert probe.main(environ, age_of=lambda pid: 200.0) == 1
    assert re.search(r"\b12\d s old", capsys.readouterr().err)


@pytest.mark.parametrize("runs_s", [60.0, None])
def test_one_that_resumes_is_not_taken_for_the_one_before_it(
    runs_s: float | None, environ: dict[str, str], store: redis.Redis
) -> None:
    """The last word is older than the process that runs, or nobody runs: nobody is stuck."""
    write_status(store, probe.STUCK_AFTER_MS + 5_000)
    assert probe.main(environ, age_of=lambda pid: runs_s) == 0


def test_the_age_of_a_process_is_that_of_the_kernel(processes: Processes) -> None:
    """A new one is young, the machine's first is older, one that is gone has none."""
    child = processes.run(["sleep", "600"], "sleep")
    first, fresh = probe.running_s(1), probe.running_s(child.pid)
    assert first is not None
    assert fresh is not None
    assert 0.0 <= fresh <= first
    child.kill()
    assert probe.running_s(child.pid) is None


def test_a_store_that_is_away_is_no_reason_to_restart(environ: dict[str, str], tmp_path: Path) -> None:
    """Nothing is known, so nothing is done; but the work does not go on."""
    away = environ | {"REDIS_URL": f"unix://{tmp_path}/none.sock"}
    assert probe.main(away) == 0
    assert probe.main(away, ["ready"]) == 1


def test_a_probe_without_its_settings_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2."""
    assert probe.main({}) == 2
    assert "SIDEARM_APP" in capsys.readouterr().err


def test_a_learner_is_ready_while_its_work_goes_on(
    environ: dict[str, str], store: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not before it said something, not when it is late, and not when it says what is wrong."""
    assert probe.main(environ, ["ready"]) == 1
    write_status(store, 1_000)
    assert probe.main(environ, ["ready", "learner"]) == 0
    write_status(store, probe.LATE_AFTER_MS + 5_000)
    assert probe.main(environ, ["ready"]) == 1
    write_status(store, 1_000, last_error="OSError: No space left on device")
    assert probe.main(environ, ["ready"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [re.sub(r"^2\d s", "20 s", line.split(" is ")[-1]) for line in said] == [
        "nothing was heard of the learner yet",
        "20 s old",
        "OSError: No space left on device",
    ]


def test_a_helper_is_asked_for_by_its_kind_and_host(
    environ: dict[str, str], store: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another one says is not its own; of two on one host the later word counts."""
    scripts = Scripts.on(store)
    scripts.run(working_call("kill", "archiver-elsewhere-1", Worker(kind="archiver", pid=1)))
    assert probe.main(environ, ["ready", "archiver"]) == 1
    mine = f"archiver-{socket.gethostname()}"
    scripts.run(working_call("kill", f"{mine}-1", Worker(kind="archiver", pid=1, error="disk full")))
    assert probe.main(environ, ["ready", "archiver"]) == 1
    assert capsys.readouterr().err.splitlines() == ["nothing was heard of the archiver yet", "disk full"]
    said = f"{int(store.time()[0]) * 1000 + 1000}|".encode() + b'{"kind":"archiver","pid":2}'
    store.hset(probe.keys.workers("kill"), f"{mine}-2", said)
    assert probe.main(environ, ["ready", "archiver"]) == probe.main(environ, ["live", "archiver"]) == 0


def test_a_helper_that_stands_still_is_restarted(environ: dict[str, str], store: redis.Redis) -> None:
    """As the learner is; one that was never heard of has time."""
    assert probe.main(environ, ["live", "joiner"]) == 0
    at_ms = int(store.time()[0]) * 1000 - probe.STUCK_AFTER_MS - 5_000
    said = f"{at_ms}|".encode() + b'{"kind":"joiner","pid":2}'
    store.hset(probe.keys.workers("kill"), f"joiner-{socket.gethostname()}-2", said)
    assert probe.main(environ, ["live", "joiner"], age_of=lambda pid: 200.0) == 1
