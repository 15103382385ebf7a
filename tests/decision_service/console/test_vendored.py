"""The libraries of others in the console are the published ones, with their licences, and nothing else."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "decision_service" / "console" / "static" / "vendor"
ROW = re.compile(
    r"^\| \[(\S+)\]\(\S+\) \| (\S+ [\d.]+) \| `\S+` \| \[(\S+)\]\(\S+\) \| `([0-9a-f]{64})` \|$", re.M
)
LISTED = ROW.findall((FOLDER / "README.md").read_text())
CHANGED = {"vega-interpreter.js": (b"from './vega-util.js'", b"from 'vega-util'")}
"""File to what stands in it, and what stood there."""


@pytest.mark.parametrize(("name", "licence", "sha256"), [(row[0], row[2], row[3]) for row in LISTED])
def test_a_library_is_the_published_one_with_its_licence(name, licence, sha256):
    """But for the one line that the page tells of."""
    data = (FOLDER / name).read_bytes()
    if name in CHANGED:
        ours, theirs = CHANGED[name]
        assert data.count(ours) == 1
        data = data.replace(ours, theirs)
    assert hashlib.sha256(data).hexdigest() == sha256
    assert len((FOLDER / licence).read_text()) > 500


def test_nothing_else_lies_there():
    """A file that nobody listed is a file whose licence nobody read."""
    listed = {row[0] for row in LISTED}
    scripts = {path.name for path in FOLDER.iterdir() if path.suffix in (".js", ".css")}
    assert len(LISTED) == 5
    assert scripts - listed == {"vega-util.js"}
