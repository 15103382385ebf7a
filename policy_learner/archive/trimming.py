"""Trimming: the store forgets what is in a checkpoint and on disk, and nothing else."""

from __future__ import annotations

import redis

from policy_learner.archive.parquet_sink import decode_versions
from policy_learner.join.positions import ms_of, order
from policy_learner.join.streams import read_after
from policy_learner.state import Learner
from sidecar.contracts.keys import weights_log

_VERSIONS_A_TIME = 1000


def trim_behind(learner: Learner) -> None:
    """Cut every stream behind the slower of checkpoint and archive.

    The last entry that both have stays: it costs nothing and shows where the stream was cut.
    """
    client, keep_s = learner.deps.scripts.client, learner.deps.settings.trim_keep_s
    learner.archive.look()
    for keys, lane in zip(learner.partitions, learner.archive.late, strict=True):
        _trim(client, keys.late, lane.end, keep_s)
    positions = learner.progress.checkpoint_positions
    if positions is None:
        return
    archived = zip(learner.archive.decisions, learner.archive.lessons, strict=True)
    for keys, (rows, lessons), trained in zip(learner.partitions, archived, positions, strict=True):
        _trim(client, keys.examples, min(rows.end, lessons.end, trained, key=order), keep_s)
    _trim_versions(learner)


def _trim_versions(learner: Learner) -> None:
    """Versions after the checkpoint's are what a restart trains again."""
    client, stream = learner.deps.scripts.client, weights_log(learner.deps.application.name)
    archived = order(learner.archive.versions.end)
    entries = decode_versions(read_after(client, stream, "0-0", _VERSIONS_A_TIME))
    behind = [
        entry.position
        for entry in entries
        if entry.version <= learner.progress.checkpoint_version and order(entry.position) <= archived
    ]
    if behind:
        _trim(client, stream, behind[-1], learner.deps.settings.trim_keep_s)


def _trim(client: redis.Redis, stream: str, position: str, keep_s: float) -> None:
    ms = ms_of(position)
    if ms == 0:
        return
    kept = position if keep_s == 0 else f"{max(0, ms - round(keep_s * 1000))}-0"
    client.xtrim(stream, minid=kept, approximate=False)
