"""Generations of a dataset: a manifest swaps one in, and a grace later the files that it replaced go.

Who makes generation n + 1 links its manifest to that generation's name, which fails when it exists: of two at
work one wins, and the other has changed nothing. See ``sidecar.contracts.log_files`` for what a manifest
says.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import msgspec

from policy_learner.failpoints import reached
from sidecar.contracts.log_files import (
    NOTHING,
    Manifest,
    generation_of,
    generations,
    live_name,
    load_manifest,
    manifest_path,
)

TEMPORARY = ".compacting-"
_TEMPORARY_MANIFEST = ".manifest-"


def commit(folder: Path, manifest: Manifest) -> bool:
    """Let a manifest count from now on; False when somebody else made its generation first.

    The look before the link is for whoever slept so long that the manifest which beat it is gone again.
    """
    temporary = folder / f"{_TEMPORARY_MANIFEST}{manifest.generation:08d}.{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            file.write(msgspec.json.encode(manifest))
            file.flush()
            os.fsync(file.fileno())
        reached("manifest written")
        if max(generations(folder), default=0) >= manifest.generation:
            return False
        os.link(temporary, manifest_path(folder, manifest.generation))
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(folder)
    reached("manifest swapped")
    return True


def clean(folder: Path, now_ms: int, grace_ms: int) -> list[Path]:
    """Remove what no generation needs that counts or counted less than a grace ago; what was removed.

    A file that somebody is still writing for the next generation stays: only whose generation has gone by is
    looked at, and who comes too late for it cannot commit it.
    """
    manifests = _within_grace(folder, now_ms, grace_ms)
    if not manifests or manifests[-1].generation == 0:
        return []
    needed = {file.path for manifest in manifests for file in manifest.files}
    removed = []
    for path in sorted(folder.glob("dt=*/*")):
        if _is_spent(path, manifests, needed) or _is_stray(path, now_ms - grace_ms):
            path.unlink(missing_ok=True)
            removed.append(path)
            reached("replaced file removed")
    _remove_manifests(folder, {manifest.generation for manifest in manifests}, now_ms - grace_ms)
    _remove_empty({path.parent for path in removed})
    return removed


def flush_folder(folder: Path) -> None:
    """Names in a folder are on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _within_grace(folder: Path, now_ms: int, grace_ms: int) -> list[Manifest]:
    """The manifest that counts, and before it those that were replaced less than a grace ago."""
    found = [manifest for g in generations(folder) if (manifest := load_manifest(folder, g)) is not None]
    before_first = [NOTHING] if found and found[0].generation == 1 else []
    known = [*before_first, *found]
    young = [old for old, new in pairwise(known) if new.made_at_ms + grace_ms > now_ms]
    return [*young, *known[-1:]]


def _is_spent(path: Path, manifests: list[Manifest], needed: set[str]) -> bool:
    generation, live = generation_of(path), live_name(path)
    if generation is not None:
        listed = f"{path.parent.name}/{path.name}" in needed
        return generation <= manifests[-1].generation and not listed
    return live is not None and all(manifest.covers_entry(*live) for manifest in manifests)


def _is_stray(path: Path, before_ms: int) -> bool:
    """A file that whoever compacted left half-written."""
    if not path.name.startswith(TEMPORARY):
        return False
    try:
        return path.stat().st_mtime * 1000 < before_ms
    except FileNotFoundError:
        return False


def _remove_manifests(folder: Path, kept: set[int], before_ms: int) -> None:
    """Manifests that nobody reads any more. They go last: as long as one is there, what it lists is."""
    for generation in generations(folder):
        if generation not in kept and generation < max(kept):
            manifest_path(folder, generation).unlink(missing_ok=True)
    for path in folder.glob(f"{_TEMPORARY_MANIFEST}*"):
        if path.stat().st_mtime * 1000 < before_ms:
            path.unlink(missing_ok=True)


def _remove_empty(days: Iterable[Path]) -> None:
    for day in days:
        try:
            day.rmdir()
        except OSError:
            continue  # not empty: as it should be
