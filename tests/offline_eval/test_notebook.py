"""The notebooks run headless from what the clone has, say what the command line says, and name no machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from examples import notebook_logs as logs
from examples.fashion import dataset
from offline_eval import __file__ as package

NOTEBOOKS = sorted((Path(package).parent / "notebooks").glob("*.ipynb"))
ROOT = Path(package).parents[1]
_TIMEOUT_S = 120


def executed(notebook, folder, monkeypatch) -> list:
    """Its code cells, run."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    read = nbformat.read(notebook, as_version=4)
    where = {"metadata": {"path": str(notebook.parent)}}
    done = NotebookClient(read, timeout=_TIMEOUT_S, resources=where).execute()
    return [cell for cell in done.cells if cell.cell_type == "code"]


def printed(cells) -> str:
    return "".join(out["text"] for cell in cells for out in cell.outputs if out.get("name") == "stdout")


def verdicts(text: str) -> list[str]:
    """As one line each: the command line folds them."""
    found = re.findall(r"verdict for (.*?)(?=\n\s*\n|\n *verdict|\Z)", text, re.S)
    return [" ".join(one.split()) for one in found]


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_headless(notebook, tmp_path, monkeypatch):
    """Every cell runs, and every code cell but the first says something; nothing is said on stderr."""
    if "02" in notebook.stem:
        try:
            dataset.fetch()
        except dataset.DatasetUnavailable as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))

    cells = executed(notebook, tmp_path, monkeypatch)

    silent = [cell.source for cell in cells[1:] if not cell.outputs and "def " not in cell.source]
    assert not silent
    assert not [out for cell in cells for out in cell.outputs if out.get("name") == "stderr"]
    if "02" in notebook.stem:
        assert verdicts(printed(cells))[:2] == _by_command(tmp_path)


def _by_command(folder) -> list[str]:
    """The same question to ``sidearm evaluate``."""
    table = logs.FOLDER / "by-segment.json"
    command = [
        *(Path(sys.executable).with_name("sidearm"), "evaluate", "--log", logs.shop_log()),
        *("--candidate", f"table:{table}", "--candidate", "uniform", "--against", "uniform"),
        *("--key", "context.segment", "--json", folder / "evaluation.json"),
    ]
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "1000"}
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=True, env=environment, cwd=folder
    )
    return verdicts(done.stdout)[:2]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_one_has_outputs_and_no_machine_path(notebook):
    """A reader sees results without running it; nothing of the machine that made them is inside."""
    text = notebook.read_text()

    cells = [cell for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == "code"]
    assert sum(bool(cell.get("outputs")) for cell in cells) >= len(cells) - 2
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
