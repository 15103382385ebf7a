"""The images: what each holds and no more, that it does its work with that, and that it builds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.contracts.layout import DataFolder
from sidecar.contracts.wire import decode_response, encode
from tests.decision_service.platform import ask_sidecar
from tests.e2e.platform import write_application
from tests.k8s.check.rendering import K8S
from tests.k8s.images import TARGETS, Image, locked, made
from tests.processes import ROOT
from tests.sidecar.server.test_sidecar import request as score_request
from tests.waiting import until

pytestmark = pytest.mark.slow
OF_THE_SIDECAR = {"click", "h11", "hiredis", "httptools", "mmh3", "msgpack", "msgspec", "numpy"}
OF_THE_SIDECAR |= {"redis", "structlog", "uvicorn", "uvloop"}
if sys.version_info < (3, 11, 3):
    OF_THE_SIDECAR |= {"async-timeout"}  # the store's client needs it there
HEAVY = {
    "service": {"vowpal-wabbit-next", "duckdb", "polars", "pyarrow", "altair"},
    "sidecar": {"vowpal-wabbit-next", "duckdb", "polars", "pyarrow", "altair", "fastapi", "httpx", "typer"},
    "learner": {"duckdb", "polars", "altair", "fastapi", "uvicorn"},
    "eval": {"vowpal-wabbit-next", "fastapi", "uvicorn"},
}
BASE, FREE = "TEST_BASE_IMAGE", "TEST_BUILDAH_OPTIONS"


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(target: str, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return made(target, tmp_path_factory.mktemp(target) / "image")


@pytest.fixture
def environ(tmp_path: Path, data_folder: DataFolder, store_url: str) -> dict[str, str]:
    (tmp_path / "url").write_text(store_url)
    return {
        "SIDEARM_APP": str(write_application(tmp_path / "app", horizon_s=1.0)),
        "SIDEARM_DATA": str(data_folder.root),
        "REDIS_URL_FILE": str(tmp_path / "url"),
        "SIDEARM_DECISION_SERVICE_PORT": "0",
    }


@pytest.mark.parametrize("target", TARGETS, indirect=True)
def test_a_lock_holds_hashes_and_nothing_that_its_process_does_without(target: str) -> None:
    """The same versions as everywhere else; VW only where models are trained."""
    packages = locked(target)
    assert not HEAVY[target] & set(packages)
    everywhere = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.M))
    assert packages == {name: everywhere[name] for name in packages}


def test_the_image_holds_what_is_locked(target: str, image: Image) -> None:
    """Of the sidecar by name: whoever adds a package to the model container does it here too."""
    there = image.installed()
    assert there <= set(locked(target))
    if target == "sidecar":
        assert there == OF_THE_SIDECAR
        assert [path.name for path in image.code.iterdir()] == ["sidecar"]


def test_it_does_its_work_with_that(target: str, image: Image, environ: dict[str, str]) -> None:
    """No import is missing, in what is only imported on the way neither."""
    for words in {"sidecar": [], "service": SERVICE, "learner": LEARNER, "eval": EVAL}[target]:
        done = image.run(*(environ.get(word, word) for word in words), **environ)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert "not installed" not in said, said
        assert "ModuleNotFound" not in said, said


_SIDEARM = ("-c", "from decision_service.cli.main import main; main()")
SERVICE = [
    ("-m", "decision_service", "--help"),
    (*_SIDEARM, "status"),
    (*_SIDEARM, "keys", "keys"),
    (*_SIDEARM, "explore", "show"),
]
LEARNER = [
    ("-m", "policy_learner", "--help"),
    ("-m", "policy_learner.joiner", "--help"),
    ("-m", "policy_learner.archiver", "--help"),
    ("-m", "policy_learner.probe", "ready", "joiner"),
    (*_SIDEARM, "log", "compact", "--retain"),
    (*_SIDEARM, "train", "--days", "30", "--no-evaluation", "--hand-over"),
    (*_SIDEARM, "models", "list"),
]
EVAL = [
    (*_SIDEARM, "evaluate", "--app", "SIDEARM_APP", "--quiet"),
    (*_SIDEARM, "log", "fetch", "file:///nowhere", "nowhere"),
]


@pytest.fixture
def model_container(image: Image, environ: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """The sidecar's image at work; its socket."""
    socket = DataFolder(Path(environ["SIDEARM_DATA"])).sidecar_socket("kill").absolute()
    log = (tmp_path / "log").open("w")
    command = [str(image.python), "-m", "sidecar.server"]
    child = subprocess.Popen(command, env=image.environ(**environ), cwd=image.code, stderr=log)
    try:
        yield socket
    finally:
        child.terminate()
        assert child.wait(30) == 0, (tmp_path / "log").read_text()
        log.close()


@pytest.mark.parametrize("target", ["sidecar"], indirect=True)
def test_the_sidecar_starts_and_scores_with_nothing_else(
    target: str, image: Image, model_container: Path
) -> None:
    """Its own probe, run by its own image, says that it is ready; then it answers a batch of three."""

    def ready() -> bool:
        return image.run("-m", "sidecar.server.probe", model_container, "/readyz").returncode == 0

    until(ready, 60.0, "the sidecar is ready")
    status, said, content = ask_sidecar(model_container, "POST", "/v1/score", encode(score_request()))
    assert status == 200, said
    assert len(decode_response(content).rows) == 3


def test_the_dockerfile_builds_what_the_manifests_name() -> None:
    """A target for every image, of a user that is not root, from nothing called latest."""
    text = (ROOT / "Dockerfile").read_text()
    targets = set(re.findall(r"^FROM run AS (\S+)", text, re.M))
    named = set(re.findall(r"sidearm-([a-z]+)", (K8S / "base" / "kustomization.yaml").read_text()))
    assert targets == named == set(TARGETS)
    assert "USER 10001:10001" in text
    assert "latest" not in text
    assert all(
        "--require-hashes" in line for line in text.splitlines() if "pip install" in line and "-r " in line
    )


@pytest.mark.parametrize("target", TARGETS, indirect=True)
def test_it_builds(target: str) -> None:
    """With buildah, from the image that the variable names; elsewhere it says why not."""
    if shutil.which("buildah") is None:
        pytest.skip("no buildah on this machine: it builds the images without a daemon")
    if not (base := os.environ.get(BASE)):
        pytest.skip(f"{BASE} names no image with Python 3.11 or 3.12 to build upon")
    options = os.environ.get(FREE, "").split()
    command = ["buildah", "build", *options, "--build-arg", f"BASE={base}", "--target", target]
    done = subprocess.run(
        [*command, "-t", f"sidearm-{target}:test", str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
