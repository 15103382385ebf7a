"""Where a log begins that does not begin with an untrained model: what was restored from a backup."""

from __future__ import annotations

from pathlib import Path

from policy_learner.models import checkpoint
from policy_learner.models.checkpoint import Checkpoint


def save_base(log: Path, saved: Checkpoint) -> Path:
    """Note that versions after this one were trained from it.

    Raises:
        OSError: the disk is full or away.
    """
    folder = _folder(log)
    folder.mkdir(parents=True, exist_ok=True)
    return checkpoint.write_whole(_path(folder, saved.version), checkpoint.encode(saved))


def load_base(log: Path, first: int | None) -> Checkpoint | None:
    """The state from which ``first``, the log's first version, was trained; None: an untrained model.

    Args:
        log: root of the application's datasets.
        first: None when the log has no version yet: then the newest state there is.

    Raises:
        BadCheckpoint: it is damaged.
    """
    folder = _folder(log)
    if first is None:
        found = sorted(int(path.stem) for path in folder.glob("*.checkpoint") if path.stem.isdigit())
        first = found[-1] + 1 if found else 1
    path = _path(folder, first - 1)
    return checkpoint.read(path) if path.exists() else None


def _folder(log: Path) -> Path:
    return log / "models"


def _path(folder: Path, version: int) -> Path:
    return folder / f"{version}.checkpoint"
