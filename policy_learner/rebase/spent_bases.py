"""Bases that no version can be rebuilt from any more, because the log has forgotten what came after them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.rows import VersionEntry, version_entries
from policy_learner.archive.segments import read, view
from policy_learner.models.deleted import gone_of
from policy_learner.rebase import offers, rebases

GRACE_S = 86_400.0
"""A younger one stays: its version may not be in the log yet, or it is about to be offered."""


def remove_spent(log: Path, app: str, checkpoints: Path, now_s: float) -> list[str]:
    """Delete them; their ids.

    Those stay that were offered last or settled last, and those whose first version learnt from nothing that
    was deleted: as long as that version can be rebuilt, those after it may be too.

    Args:
        log: root of the application's datasets.
        app: its name.
        checkpoints: the learner's, where offers lie.
        now_s: Unix time.
    """
    offer, outcome = offers.read_offer(checkpoints), offers.read_outcome(checkpoints)
    needed = {offer.base} if offer else set()
    if outcome:
        needed.add(outcome.offer.base)
    gone = gone_of(log, app)
    needed |= {entry.base for entry in _taken_over(log, app) if not gone.covers(entry)}
    return rebases.clean(log, needed, now_s - GRACE_S)


def _taken_over(log: Path, app: str) -> Iterator[VersionEntry]:
    """The versions that begin with a base. Few pieces hold one: of the others one column is read."""
    for segment in view(dataset_folder(log, "versions", app)).segments:
        named = read(segment, ["version", "base"])
        if "base" in named.column_names and named["base"].null_count < len(named):
            yield from (entry for entry in version_entries(read(segment)) if entry.base)
