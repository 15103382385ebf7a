"""The example shop with time for everything: for tests of what it answers, not of how fast."""

from __future__ import annotations

import shutil
from pathlib import Path

from examples.shop.simulator import FOLDER

PATIENCE = {
    "app.toml": ("deadline_ms = 100", "deadline_ms = 5000\nscore_timeout_ms = 4000"),
    "features.py": ("timeout=0.02", "timeout=0.3"),
}
"""What a busy machine does not keep, file by file, and what it does."""


def patient_shop(folder: Path) -> Path:
    """A copy in a folder that is not there yet."""
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (hasty, patient) in PATIENCE.items():
        text = (folder / name).read_text()
        assert hasty in text, name
        (folder / name).write_text(text.replace(hasty, patient))
    return folder
