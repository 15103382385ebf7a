"""The real kubectl, against whichever server is given, without this machine's own settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

K8S = Path(__file__).parents[2] / "k8s"


def need_kubectl() -> None:
    """Skip where it is absent on somebody's machine; fail where CI is set."""
    if shutil.which("kubectl") is None:
        if os.environ.get("CI"):
            pytest.fail("kubectl is needed where CI is set: it renders and applies the manifests")
        pytest.skip("no kubectl on this machine: it renders and applies the manifests")


class Kubectl:
    """Commands for one server; ``folder`` holds its caches."""

    def __init__(self, server: str, folder: Path) -> None:
        need_kubectl()
        self._server = ["--server", server]
        own = {"HOME": str(folder), "KUBECACHEDIR": str(folder / "cache"), "KUBECONFIG": str(folder / "none")}
        self._environ = {**os.environ, **own}

    def run(self, *arguments: str | Path, manifest: object = None) -> subprocess.CompletedProcess[str]:
        """The command, whatever comes of it; ``manifest`` goes to its standard input."""
        return subprocess.run(
            ["kubectl", *self._server, *map(str, arguments)],
            input=None if manifest is None else yaml.safe_dump(manifest),
            capture_output=True,
            text=True,
            env=self._environ,
            timeout=120,
        )

    def ok(self, *arguments: str | Path, manifest: object = None) -> str:
        """The command's output; it must succeed."""
        done = self.run(*arguments, manifest=manifest)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """Objects as the server has them."""
        found: dict[str, Any] = yaml.safe_load(
            self.ok("get", *arguments, "-o", "yaml", "--show-managed-fields")
        )
        return found
