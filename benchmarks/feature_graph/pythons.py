"""The Pythons that the gates run under, each with an environment of its own below ``build/``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-bench.lock"
WANTED = "3.11 3.12"
"""What ``PYTHONS`` says when it says nothing."""
VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


class Interpreter(NamedTuple):
    """One Python to measure under, or why it cannot be had."""

    tag: str
    """``py312``: part of the figures' names."""
    python: str | None
    version: str
    has: frozenset[str] = frozenset()
    """Which of uvloop and hamilton it can import."""
    why_not: str = ""


def interpreters(tell: Callable[[str], None]) -> list[Interpreter]:
    """Those that ``PYTHONS`` names: versions or commands, 3.11 and 3.12 by default."""
    return [_interpreter(each, tell) for each in os.environ.get("PYTHONS", "").split() or WANTED.split()]


def _interpreter(wanted: str, tell: Callable[[str], None]) -> Interpreter:
    python, version = find(wanted)
    tag = "py" + "".join((version or Path(wanted).name).split(".")[:2])
    if python is None:
        name = f"Python {wanted}" if wanted[0].isdigit() else wanted
        return Interpreter(
            tag, None, wanted, why_not=f"{name} was not found; PYTHONS='3.11 /path/to/it' names it"
        )
    own = environment(python, tag, LOCK, "uvloop and Hamilton", tell)
    has = frozenset(name for name in ("uvloop", "hamilton") if runs(own, f"import {name}"))
    return Interpreter(tag, own, version, has)


def find(wanted: str) -> tuple[str | None, str]:
    """Command and full version of a Python that runs; a version is looked for on the PATH and in pyenv."""
    candidates = [wanted]
    if wanted[0].isdigit():
        candidates = [sys.executable, f"python{wanted}", *_of_pyenv(wanted)]
    for candidate in candidates:
        version = runs(candidate, VERSION)
        if version and (not wanted[0].isdigit() or f"{version}.".startswith(f"{wanted}.")):
            return candidate, version
    return None, ""


def _of_pyenv(version: str) -> list[str]:
    """pyenv puts commands on the PATH that refuse to run until one asks it for the folder."""
    if shutil.which("pyenv") is None:
        return []
    done = subprocess.run(["pyenv", "prefix", version], capture_output=True, text=True)
    return [] if done.returncode else [f"{done.stdout.strip()}/bin/python"]


def environment(
    python: str, tag: str, lock: Path, what: str, tell: Callable[[str], None], *options: str
) -> str:
    """A Python with what a file locks; the plain one where that cannot be installed.

    Args:
        python: to make it of.
        tag: part of the folder's name.
        lock: requirements with hashes.
        what: that is, for a reader.
        tell: shows a line.
        options: further ones of the installer.
    """
    folder = ROOT / "build" / f"bench-{tag}"
    own, stamp = folder / "bin" / "python", folder / "stamp"
    if stamp.exists() and stamp.read_text() == lock.read_text() and runs(str(own), VERSION):
        return str(own)
    tell(f"installing {what} into {folder.relative_to(ROOT)} …")
    shutil.rmtree(folder, ignore_errors=True)
    commands = [
        [python, "-m", "venv", "--without-pip", str(folder)],
        [*_installer(own), *options, "-r", str(lock)],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            tell(f"{' '.join(command)}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
            return str(own) if runs(str(own), VERSION) else python
    stamp.write_text(lock.read_text())
    return str(own)


def _installer(python: Path) -> list[str]:
    """uv where it is installed beside us, else our pip, told to work on the other Python."""
    if runs(sys.executable, "import uv"):
        return [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "-q",
            "--python",
            str(python),
            "--require-hashes",
        ]
    return [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--require-hashes"]


def runs(python: str, program: str) -> str:
    """What the program prints (or a word, where it prints nothing); empty if it fails."""
    try:
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=60)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.strip() or "ran"
