"""Taking an epoch that is later than every one before, though the store may have lost its count.

Sidecars order publications by epoch and version. A store that comes back empty would begin with 1 again, and
a sidecar that holds a later one would refuse all that follows. So the last epoch is also kept beside the
checkpoints, and the store is told to go on above it.
"""

from __future__ import annotations

import logging
from pathlib import Path

import redis

from policy_learner.models.checkpoint import load_latest, write_whole
from sidecar.contracts.store import take_epoch

_FILE = "epoch"

log = logging.getLogger("sidearm.learner")


def take_later_epoch(client: redis.Redis, app: str, folder: Path) -> int:
    """Become the learner, under an epoch above all that this data folder knows of.

    Raises:
        StoreError: the store is away.
    """
    epoch = take_epoch(client, app, above=last_epoch(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if epoch > last_epoch(folder):  # else a later learner was quicker
            write_whole(folder / _FILE, b"%d" % epoch)
    except OSError as error:
        log.error("epoch %d is not remembered on disk, only in the store: %s", epoch, error)
    return epoch


def last_epoch(folder: Path) -> int:
    """The last epoch that was taken with this data folder; of a folder without a record, its checkpoint's."""
    try:
        return int((folder / _FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        saved = load_latest(folder)
        return saved.epoch if saved else 0
