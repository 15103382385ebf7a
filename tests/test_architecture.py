"""The import rule holds, and each of its contracts is able to fail."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RULES = ROOT / ".importlinter"
PACKAGES = (
    "decision_service",
    "policy_learner",
    "offline_eval",
    "feature_graph",
    "sidecar",
    "sidearm_client",
)

# contract -> the file that breaks it, what it says, and what the report must name
PLANTED = {
    "processes": ("policy_learner/planted.py", "import decision_service.errors", "decision_service.errors"),
    "graph-alone": ("feature_graph/planted.py", "import sidecar.contracts.ids", "sidecar.contracts"),
    "graph-light": ("feature_graph/planted_light.py", "import numpy", "numpy"),
    "graph-users": ("offline_eval/planted.py", "import feature_graph", "offline_eval.planted"),
    "policy-pure": ("sidecar/policy/planted.py", "import polars", "polars"),
    "contracts-pure": ("sidecar/contracts/planted.py", "import redis", "sidecar.contracts.planted -> redis"),
    "trainer-alone": ("policy_learner/planted_vw.py", "import vowpal_wabbit_next", "planted_vw"),
    "over-the-socket": ("decision_service/planted.py", "import sidecar.policy.model", "sidecar.policy.model"),
    "client-alone": ("sidearm_client/planted.py", "import sidecar.contracts.ids", "sidearm_client.planted"),
    "client-light": ("sidearm_client/planted_light.py", "import msgspec", "planted_light -> msgspec"),
    "client-unused": ("policy_learner/planted_client.py", "import sidearm_client.wire", "planted_client"),
}


def contracts() -> dict[str, str]:
    """Contract id to its name."""
    rules = configparser.ConfigParser()
    rules.read(RULES)
    prefix = "importlinter:contract:"
    return {s.removeprefix(prefix): rules[s]["name"] for s in rules.sections() if s.startswith(prefix)}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """The report on the packages in ``folder``."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    environ = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "500", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """The sources as they are, and with every forbidden import planted."""
    clean, planted = tmp_path_factory.mktemp("clean"), tmp_path_factory.mktemp("planted")
    for folder in (clean, planted):
        shutil.copy(RULES, folder)
        for package in PACKAGES:
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file, text, _ in PLANTED.values():
        (planted / file).write_text(text + "\n")
    return lint(clean), lint(planted)


def test_the_rule_holds(copies):
    """As the code stands, every contract is kept."""
    report, _ = copies
    assert report.returncode == 0, report.stdout + report.stderr
    assert f"{len(contracts())} kept, 0 broken" in report.stdout


@pytest.mark.parametrize("contract", contracts())
def test_each_contract_reports_a_forbidden_import(copies, contract):
    """One import against each contract is planted, and the report names it."""
    _, report = copies
    _, _, named = PLANTED[contract]
    assert f"{contracts()[contract]} BROKEN" in report.stdout
    broken = report.stdout.partition("Broken contracts")[2].partition(contracts()[contract])[2]
    assert named in broken


def test_every_contract_says_what_breaks_without_it():
    """The line above each is a comment."""
    lines = RULES.read_text().splitlines()
    heads = [n for n, line in enumerate(lines) if line.startswith("[importlinter:contract:")]
    assert heads
    assert all(lines[n - 1].startswith("# ") for n in heads)


def test_every_package_is_under_the_rule():
    """A new top-level package with code must be placed in it."""
    rules = configparser.ConfigParser()
    rules.read(RULES)
    assert set(rules["importlinter"]["root_packages"].split()) == set(PACKAGES)
    outside = {"tests", "examples", "benchmarks", "docs"}
    assert {p.parent.name for p in ROOT.glob("*/__init__.py")} - outside == set(PACKAGES)
