"""Which files of a Parquet dataset count: a generation that a manifest names, and what was written since.

A dataset's folder (``decisions/app=shop``) holds three kinds of files:

- ``dt=<date>/<lane>-<first position>.parquet``: as the archiver wrote them, one after the other;
- ``dt=<date>/g<generation>-<token>-<number>.parquet``: what compaction made of many of those;
- ``manifest-<generation>.json``: the highest one counts. It lists the files of its generation and says for
  each lane up to which position they stand for what the archiver wrote: such a file of the archiver counts
  no more, whether it is still there or not.

So one new name in one folder swaps every row from the old files to the new ones. Old files stay for a grace,
for those who listed them before. Whoever lists must look at the files first and at the manifest after: then
what vanished from the listing is in the manifest.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from sidecar.contracts.errors import BadManifest

FORMAT = 1
_MANIFEST = re.compile(r"^manifest-(\d{8})\.json$")
_LIVE = re.compile(r"^(\d+)-(\d+-\d+)$")
_GENERATION = re.compile(r"^g(\d{8})-")


class LogFile(Struct, frozen=True):
    """One file of a generation."""

    path: str
    """Below the dataset's folder."""
    rows: int
    size_bytes: int

    @property
    def day(self) -> str:
        """``2026-01-31``."""
        return self.path.partition("/")[0].removeprefix("dt=")


class Forgotten(Struct, frozen=True):
    """A unit whose rows were deleted, without its name: what comes later goes when its day is compacted."""

    bucket: int
    """Its ``unit_bucket``."""
    sha256: str
    """Of its id, hexadecimal."""
    before_ms: int
    """Decisions made before are to go. What the unit does afterwards is logged again."""


class Manifest(Struct, frozen=True, kw_only=True):
    """One generation of a dataset. A field that is added has a default."""

    format: int = FORMAT
    generation: int = 0
    """0: nothing was ever compacted."""
    made_at_ms: int = 0
    reason: str = ""
    covers: dict[str, str] = {}
    """Lane to the position up to which ``files`` stand for what the archiver wrote."""
    files: tuple[LogFile, ...] = ()
    """In the order of their days."""
    removed: dict[str, int] = {}
    """Rows deleted since the beginning, by reason: ``retention``, ``forget``. With the rows in the log they
    are what was ever archived."""
    dropped: dict[str, str] = {}
    """Lane to the position before which everything was deleted, day by day."""
    forgotten_from: dict[str, str] = {}
    """Lane to the first position from which single rows were deleted."""
    forgotten: tuple[Forgotten, ...] = ()
    beside: dict[str, str] = {}
    """Lane to the position up to which the other lane of its stream is on disk: replaced files said so."""

    def covers_entry(self, lane: int, position: str) -> bool:
        """Whether the generation stands for what a lane wrote at a position."""
        end = self.covers.get(str(lane))
        return end is not None and order(position) <= order(end)


NOTHING = Manifest()


def order(position: str) -> tuple[int, int]:
    """A key that sorts stream positions ``<milliseconds>-<sequence>`` as numbers.

    >>> order("999-0") < order("1000-0") < order("1000-11")
    True
    """
    ms, _, sequence = position.partition("-")
    return int(ms), int(sequence or 0)


def live_name(path: Path) -> tuple[int, str] | None:
    """Lane and first position of a file as the archiver names it; None for any other.

    >>> live_name(Path("dt=2026-01-31/3-1700000000000-7.parquet"))
    (3, '1700000000000-7')
    """
    match = _LIVE.match(path.stem)
    return (int(match[1]), match[2]) if match else None


def generation_of(path: Path) -> int | None:
    """The generation that a compacted file was written for; None for any other file.

    >>> generation_of(Path("dt=2026-01-31/g00000007-1f-0.parquet"))
    7
    """
    match = _GENERATION.match(path.name)
    return int(match[1]) if match else None


def manifest_path(folder: Path, generation: int) -> Path:
    """Where a generation's manifest lies, below the dataset's folder."""
    return folder / f"manifest-{generation:08d}.json"


def generations(folder: Path) -> list[int]:
    """The generations whose manifests are there, in their order."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:  # nothing was ever written
        return []
    return sorted(int(match[1]) for match in map(_MANIFEST.match, names) if match)


def read_manifest(folder: Path) -> Manifest:
    """The manifest that counts; :data:`NOTHING` where nothing was ever compacted.

    Raises:
        BadManifest: it is no manifest, or one of a later form.
    """
    while there := generations(folder):
        manifest = load_manifest(folder, there[-1])
        if manifest is not None:
            return manifest
    return NOTHING


def load_manifest(folder: Path, generation: int) -> Manifest | None:
    """One generation's manifest; None when it is gone.

    Raises:
        BadManifest: it is no manifest, or one of a later form.
    """
    path = manifest_path(folder, generation)
    try:
        manifest = decode_manifest(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    if manifest.generation != generation:
        raise BadManifest(f"{path} is the manifest of generation {manifest.generation}")
    return manifest


def decode_manifest(data: bytes, name: str) -> Manifest:
    """A manifest from its bytes; ``name`` is for the error.

    Raises:
        BadManifest: it is no manifest, or one of a later form.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BadManifest(f"{name} is no manifest: {error}") from error
    if manifest.format != FORMAT:
        raise BadManifest(f"{name} has form {manifest.format}; known is {FORMAT}")
    return manifest


def counted(folder: Path, found: Iterable[Path], manifest: Manifest) -> list[Path]:
    """The files of one dataset that count, in the order of their names.

    Args:
        folder: of the dataset.
        found: the files in it, listed before ``manifest`` was read.
        manifest: that counts.
    """
    since = [path for path in found if _counts_beside(path, manifest)]
    return sorted([*since, *(folder / file.path for file in manifest.files)])


def files_below(root: Path) -> list[Path]:
    """The Parquet files below a folder that count, in the order of their names: every row is in one of them.

    Files outside ``dt=`` folders have no manifest and count all; so does every file with a name of another
    kind. A name that begins with a dot belongs to a writer.

    Raises:
        BadManifest: a manifest cannot be read.
    """
    datasets: dict[Path, list[Path]] = defaultdict(list)
    files: list[Path] = []
    for path in root.rglob("*.parquet"):
        if path.name.startswith("."):
            continue
        if path.parent.name.startswith("dt="):
            datasets[path.parent.parent].append(path)
        else:
            files.append(path)
    for folder, found in datasets.items():
        kept = counted(folder, found, read_manifest(folder))
        files += [path for path in kept if path.is_relative_to(root)]
    return sorted(files)


def _counts_beside(path: Path, manifest: Manifest) -> bool:
    """Whether a file counts that the manifest does not list."""
    if generation_of(path) is not None:
        return False
    live = live_name(path)
    return live is None or not manifest.covers_entry(*live)
