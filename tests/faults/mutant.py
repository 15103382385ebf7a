"""A wrong variant of the product, and a copy of the tree that has it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
COPIED = ("sidecar", "policy_learner", "decision_service", "feature_graph", "examples", "tests")
"""All that simulations and tests import."""


class StaleMutant(Exception):
    """The source is not what the mutant was made for."""


class Mutant(NamedTuple):
    name: str
    file: str
    right: str
    wrong: str
    played: str = "tests.faults.simulate"
    """The module whose seeds must catch it."""
    tests: tuple[str, str] = ("", "")
    """Of one that no simulation can see: the file of tests that must catch it, and which of them."""


def copy_with(mutant: Mutant, folder: Path) -> None:
    """A copy of the tree, in which the mutant is.

    Raises:
        StaleMutant: its text is not in the source exactly once.
    """
    found = (ROOT / mutant.file).read_text().count(mutant.right)
    if found != 1:
        raise StaleMutant(f"{mutant.name!r}: its text is {found} times in {mutant.file}, not once")
    for package in COPIED:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    path = folder / mutant.file
    path.write_text(path.read_text().replace(mutant.right, mutant.wrong))
