"""The notebooks run headless on a log, and what is committed names no machine."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from offline_eval import __file__ as package
from sidecar.contracts.weights import encode_weights
from tests.offline_eval.logs import row, simulated_rows, weights, write_log

NOTEBOOKS = sorted((Path(package).parent / "notebooks").glob("*.ipynb"))
ROOT = Path(package).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_headless_on_a_log(notebook, tmp_path, monkeypatch):
    """Every cell runs on a log, greedy among the candidates; every code cell but the first says something."""
    log = write_log(tmp_path, [*simulated_rows(500, seed=1), row(900, reward=None, reward_at=None)])
    (tmp_path / "weights.bin").write_bytes(encode_weights(weights()))
    monkeypatch.setenv("SIDEARM_LOG", str(log))
    monkeypatch.setenv("SIDEARM_WEIGHTS", str(tmp_path / "weights.bin"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    read = nbformat.read(notebook, as_version=4)

    done = NotebookClient(read, timeout=120, resources={"metadata": {"path": str(notebook.parent)}}).execute()

    code = [cell for cell in done.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code[1:])
    assert not [out for cell in code for out in cell.outputs if out.get("name") == "stderr"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_one_has_outputs_and_no_machine_path(notebook):
    """A reader sees results without running it; nothing of the machine that made them is inside."""
    text = notebook.read_text()

    assert any(cell.get("outputs") for cell in nbformat.reads(text, as_version=4).cells)
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
