"""Rendering by the real kubectl: folders as they are, and sets put together of an overlay and components."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.k8s.check.objects import Object

ROOT = Path(__file__).parents[3]
K8S = ROOT / "k8s"
_PATIENCE_S = 60


class CannotRender(Exception):
    """kubectl refuses a folder; the message is its own."""


def kubectl() -> str | None:
    """Its path; None where it is not installed."""
    return shutil.which("kubectl")


def render(folder: Path) -> list[Object]:
    """The objects of a kustomization.

    Raises:
        CannotRender: kubectl says why.
    """
    return parsed(render_text(folder))


def render_text(folder: Path) -> str:
    """The same as kubectl prints it."""
    binary = kubectl()
    assert binary, "asked for before"
    done = subprocess.run(
        [binary, "kustomize", str(folder)], capture_output=True, text=True, timeout=_PATIENCE_S, check=False
    )
    if done.returncode:
        raise CannotRender(done.stderr.strip())
    return done.stdout


def parsed(text: str) -> list[Object]:
    """The objects of a stream of YAML."""
    return [item for item in yaml.safe_load_all(text) if item]


def render_set(base: Path, components: Sequence[str], namespace: str = "sidearm") -> list[Object]:
    """An overlay or a base with components on top, as a user's own overlay would have them.

    Raises:
        CannotRender: as above.
    """
    with written_set(base, components, namespace) as folder:
        return render(folder)


@contextmanager
def written_set(base: Path, components: Sequence[str], namespace: str = "sidearm") -> Iterator[Path]:
    """The same as a folder for ``kubectl -k``, while the block lasts."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="k8s-") as name:
        folder = Path(name)
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(_own(folder, base, components, namespace)))
        yield folder


def _own(folder: Path, base: Path, components: Sequence[str], namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(base, folder)],
        "components": [os.path.relpath(K8S / "components" / one, folder) for one in components],
    }
