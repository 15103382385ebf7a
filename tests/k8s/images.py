"""What an image holds, made without building one: its locked packages in an environment of their own, and of
our code what the Dockerfile copies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.processes import ROOT

TARGETS = ("service", "sidecar", "learner", "eval")
LOCKS = ROOT / "k8s" / "images"
_PACKAGES = ("sidecar", "feature_graph", "decision_service", "policy_learner", "offline_eval")
_PATIENCE_S = 300


class Image(NamedTuple):
    """One that can be run, without a container around it."""

    python: Path
    code: Path
    """The only folder of ours that it sees."""

    def run(self, *words: object, **environ: str) -> subprocess.CompletedProcess[str]:
        """``python …`` in it, to its end."""
        command = [str(self.python), *map(str, words)]
        return subprocess.run(
            command,
            env=self.environ(**environ),
            cwd=self.code,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
        )

    def environ(self, **more: str) -> dict[str, str]:
        """All that its processes see of the environment."""
        path = f"{self.python.parent}:/usr/bin:/bin"
        return {"PATH": path, "PYTHONPATH": str(self.code), "PYTHONDONTWRITEBYTECODE": "1", **more}

    def installed(self) -> set[str]:
        """Names of the packages that are there, spelt as the locks spell them."""
        code = (
            "from importlib.metadata import distributions as d; print(*sorted(x.name.lower() for x in d()))"
        )
        return {name.replace("_", "-") for name in self.run("-c", code).stdout.split()} - {"sidearm"}


def made(target: str, folder: Path) -> Image:
    """The packages of an image, installed as its build installs them."""
    python, code = folder / "bin" / "python", folder / "code"
    _uv("venv", "-q", "--python", sys.executable, folder)
    _uv("pip", "install", "-q", "--python", python, "--no-deps", "--require-hashes", "-r", _lock(target))
    code.mkdir()
    for package in ("sidecar",) if target == "sidecar" else _PACKAGES:
        (code / package).symlink_to(ROOT / package)
    if target != "sidecar":  # its commands are found by entry points
        _tell_entry_points(code / "sidearm-0.dist-info")
    return Image(python, code)


def _tell_entry_points(folder: Path) -> None:
    """As a wheel that is built now would: what is installed here may be of another day."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [line for group, points in groups.items() for line in (f"[{group}]", *_points(points))]
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: sidearm\nVersion: 0\n")
    (folder / "entry_points.txt").write_text("\n".join(lines))


def _points(points: Mapping[str, str]) -> list[str]:
    return [f"{name} = {place}" for name, place in points.items()]


def locked(target: str) -> dict[str, str]:
    """Package to version; of several for several Pythons the last."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", _lock(target).read_text(), re.MULTILINE))


def _lock(target: str) -> Path:
    return LOCKS / f"{target}.lock"


def _uv(*words: object) -> None:
    command = [sys.executable, "-m", "uv", *map(str, words)]
    subprocess.run(command, check=True, timeout=_PATIENCE_S, env={**os.environ, "UV_LINK_MODE": "hardlink"})
