"""What is configured wrongly: the process says why in one line and ends, or waits and is not ready."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from policy_learner import probe
from sidecar.contracts.layout import DataFolder
from tests.k8s.check.processes import MODULES
from tests.k8s.check.rendering import K8S
from tests.processes import ROOT, Processes
from tests.waiting import until

pytestmark = pytest.mark.slow
APPLICATION = K8S / "base" / "application"


@pytest.fixture
def tmp_path(data_folder: DataFolder) -> Path:
    """On a path short enough for sockets."""
    return data_folder.root


def environment(folder: Path, url: str | None) -> dict[str, str]:
    """As in a pod: the application, a data folder, and the store's address in a file."""
    if url is not None:
        (folder / "url").write_text(url)
    return {
        "SIDEARM_APP": str(APPLICATION),
        "SIDEARM_DATA": str(folder / "data"),
        "REDIS_URL_FILE": str(folder / "url"),
    }


def ended(module: str, environ: dict[str, str]) -> str:
    """The one line that a process says before it ends with exit code 2."""
    done = subprocess.run(
        [sys.executable, "-m", module], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "Traceback" not in done.stdout
    return line


@pytest.mark.parametrize("module", MODULES)
def test_a_secret_without_the_address_is_named(module: str, tmp_path: Path) -> None:
    """Kubernetes holds the pod back where the whole Secret is missing; where a key is, the process ends."""
    assert "REDIS_URL_FILE" in ended(module, environment(tmp_path, None))


@pytest.mark.parametrize("module", MODULES)
def test_a_typo_in_the_application_is_named(module: str, tmp_path: Path) -> None:
    """With the field and what is legal."""
    (tmp_path / "app.toml").write_text('name = "starter"\npartishuns = 16\n')
    (tmp_path / "arms.json").write_text((APPLICATION / "arms.json").read_text())
    environ = environment(tmp_path, "redis://store:6379") | {"SIDEARM_APP": str(tmp_path)}
    assert "partishuns" in ended(module, environ)


def test_keys_that_are_none_are_named(tmp_path: Path) -> None:
    """A Secret that was made by hand, and wrongly."""
    environ = environment(tmp_path, "redis://127.0.0.1:1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "keys.json").write_text('{"sk_": "everything"}')
    assert "keys.json" in ended("decision_service", environ | {"SIDEARM_DECISION_SERVICE_PORT": "0"})


@pytest.mark.parametrize("who", ["learner", "joiner", "archiver"])
@pytest.mark.parametrize("user", ["", "nobody:wrong@"])
def test_without_its_store_a_process_waits_and_is_not_ready(
    who: str,
    user: str,
    tmp_path: Path,
    processes: Processes,
    store_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A store that is away and a wrong password are the same: said once, retried, no reason for a restart."""
    url = store_url.replace("unix://", f"unix://{user}") if user else f"unix://{tmp_path}/no-store.sock"
    environ = environment(tmp_path, url)
    module = "policy_learner" if who == "learner" else f"policy_learner.{who}"
    process = processes.start(module, environ=environ)
    process.wait_until(lambda: "trying again" in process.log.read_text(), what="says what is wrong")
    assert process.log.read_text().count("trying again") == 1
    assert probe.main(environ, ["live", who]) == 0
    assert probe.main(environ, ["ready", who]) == 1
    assert "does not answer" in capsys.readouterr().err
    assert "nobody:wrong" not in process.log.read_text()
    assert process.stop() == 0


def test_without_its_store_a_service_answers(tmp_path: Path, processes: Processes, store_url: str) -> None:
    """A wrong password of the store takes nobody down who asks: it is ready, and spools."""
    url = store_url.replace("unix://", "unix://nobody:wrong@")
    environ = environment(tmp_path, url) | {"SIDEARM_DECISION_SERVICE_PORT": "0"}
    process = processes.start("decision_service", environ=environ)
    process.wait_until(lambda: "on http://" in process.log.read_text())
    host, port = process.log.read_text().rpartition("on http://")[2].split()[0].split(":")

    def status(path: str) -> int:
        return httpx.get(f"http://{host}:{port}{path}", timeout=20).status_code

    assert status("/livez") == 200
    until(lambda: status("/readyz") == 200, 60.0, "ready without its store")
    assert process.stop() == 0
