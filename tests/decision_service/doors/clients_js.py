"""Published JavaScript clients, installed once below ``build/`` from the lock beside this file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

SOURCE = Path(__file__).with_name("js")
PLACE = Path(__file__).parents[3] / "build" / "clients-js"
FILES = ("package.json", "package-lock.json")


def installed() -> Path:
    """The folder in which ``node`` finds them; the test is skipped where there is no npm, but not in CI."""
    npm = shutil.which("npm")
    if npm is None:
        lacks("npm")
    if not all(_same(SOURCE / name, PLACE / name) for name in FILES):
        shutil.rmtree(PLACE, ignore_errors=True)
        PLACE.mkdir(parents=True)
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(PLACE)]
        shutil.copy(SOURCE / FILES[1], PLACE)
        shutil.copy(SOURCE / FILES[0], PLACE / FILES[0])
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(PLACE)
            raise AssertionError(f"npm ci: {done.stderr}")
    return PLACE


def lacks(tool: str) -> NoReturn:
    """This machine has not what a test needs: CI must have."""
    if os.environ.get("CI"):
        pytest.fail(f"CI needs {tool}: .ci/run installs it")
    pytest.skip(f"needs {tool}, as CI has it")


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()


def run(script: str, *arguments: str, stdin: object = None, environ: dict[str, str] | None = None) -> str:
    """What ``script``, a file of ``js/`` or its text, prints."""
    place = installed()
    source = SOURCE / script
    file = place / ("script.cjs" if not source.exists() else script)
    file.write_text(source.read_text() if source.exists() else script)
    done = subprocess.run(
        ["node", str(file), *arguments],
        input=json.dumps(stdin),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(environ or {})},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(script: str, *arguments: str, stdin: object = None) -> Any:
    """The same, as JSON."""
    return json.loads(run(script, *arguments, stdin=stdin))


def readme_of(package: str) -> str:
    """What a published package says of itself."""
    return (installed() / "node_modules" / package / "README.md").read_text()


def example(page: str, language: str, word: str) -> str:
    """The code of a page of ours, in that language, that has ``word`` in it."""
    text = (Path(__file__).parents[3] / "docs" / page).read_text()
    [code] = [one for one in re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S) if word in one]
    return code
