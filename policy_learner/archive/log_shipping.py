"""A copy of the log in an object store (S3 and what speaks it): the same names, the same promise.

Every file is put under a condition: only if nothing has its name (``If-None-Match: *``), as ``link()`` does
on a disk. So whoever ships, however often, and killed wherever: an object is whole, and is never replaced. A
manifest is put after the files that it lists. What the learner removes from its own disk when a grace is over
goes here too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import from_url

from policy_learner.archive.rows import SCHEMAS
from policy_learner.errors import BadArchive
from sidecar.contracts.log_files import (
    NOTHING,
    Manifest,
    counted,
    decode_manifest,
    generation_of,
    generations,
    live_name,
    load_manifest,
    manifest_path,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_BESIDE = {"catalogues": ("*.json",), "models": ("*.base", "*.bin", "*.checkpoint")}
"""Folders beside the datasets, whose files are each written once: the rows of the log name them, so they go
first. Without the models that were handed over or imported, what came of them could not be rebuilt."""

Progress = Callable[[int], None]
"""Told how many more bytes were moved."""

log = logging.getLogger("sidearm.learner")


class Shipped(NamedTuple):
    """What was done in one go."""

    files: int
    size_bytes: int
    removed: int


def open_store(url: str) -> ObjectStore:
    """The store below an address such as ``s3://bucket/folder``; keys and endpoint come from ``AWS_*``.

    Raises:
        BadArchive: no address of an object store.
    """
    try:
        return from_url(url)
    except (BaseError, ValueError) as error:
        raise BadArchive(f"{url!r} is no object store: legal is s3://bucket/folder ({error})") from error


class Shipper:
    """Ships one application's log, and remembers what is there already.

    Args:
        folder: root of the application's datasets.
        store: where to.
    """

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        self._folder, self._store = folder, store
        self._there: set[str] | None = None

    def ship(self, tick: Progress = lambda size_bytes: None) -> Shipped:
        """Put what is not there yet, remove what was removed here.

        Raises:
            BadArchive: an object of the same name has another content, or the store refuses.
        """
        try:
            if self._there is None:
                self._there = set(_names(self._store))
            return self._ship(self._there, tick)
        except BaseError as error:
            self._there = None
            raise BadArchive(f"the object store: {str(error).splitlines()[0]}") from error

    def _ship(self, there: set[str], tick: Progress) -> Shipped:
        files = size_bytes = removed = 0
        for folder in self._datasets():
            wanted, manifests = _wanted(folder)
            for path in wanted:
                name = path.relative_to(self._folder).as_posix()
                if name not in there and (size := _put(self._store, name, path)) is not None:
                    there.add(name)
                    files, size_bytes = files + 1, size_bytes + size
                    tick(size)
            removed += self._remove(folder, {path.name: path for path in wanted}, manifests, there)
        return Shipped(files, size_bytes, removed)

    def _datasets(self) -> list[Path]:
        inside = [path for name in SCHEMAS for path in sorted((self._folder / name).glob("app=*"))]
        return [*(self._folder / name for name in _BESIDE), *inside]

    def _remove(self, folder: Path, here: dict[str, Path], manifests: list[Manifest], there: set[str]) -> int:
        """Objects of files that were replaced, and whose grace is over: nothing here needs them any more."""
        prefix = folder.relative_to(self._folder).as_posix() + "/"
        spent = [
            name
            for name in there
            if name.startswith(prefix) and Path(name).name not in here and _is_spent(Path(name), manifests)
        ]
        for name in spent:
            obstore.delete(self._store, name)
            there.discard(name)
        return len(spent)


def fetch(store: ObjectStore, folder: Path, tick: Progress = lambda size_bytes: None) -> Shipped:
    """Get every file that counts into a folder, which every reader of a log can read and a learner go on in.

    Args:
        store: where from.
        folder: root of the application's datasets; what is there already is left.
        tick: told how many more bytes were moved.

    Raises:
        BadArchive: a file here has another content, or the store refuses.
    """
    try:
        names = list(_names(store))
        files = size_bytes = 0
        for name in _counted_names(store, names):
            size = _get(store, name, folder / name)
            files, size_bytes = files + (size > 0), size_bytes + size
            tick(size)
    except NotFoundError as error:
        raise BadArchive(
            f"a file was replaced meanwhile; fetch again ({str(error).splitlines()[0]})"
        ) from error
    except BaseError as error:
        raise BadArchive(f"the object store: {str(error).splitlines()[0]}") from error
    return Shipped(files, size_bytes, 0)


def _wanted(folder: Path) -> tuple[list[Path], list[Manifest]]:
    """What is to be in the store of a dataset, in the order in which it is put; and the manifests here."""
    found = {path for path in folder.glob("*/*.parquet") if not path.name.startswith(".")}
    manifests = [m for g in generations(folder) if (m := load_manifest(folder, g)) is not None]
    listed = {folder / file.path for manifest in manifests for file in manifest.files}
    files = {path for path in found if generation_of(path) is None} | listed
    beside = sorted(path for kind in _BESIDE.get(folder.name, ()) for path in folder.glob(kind))
    names = (manifest_path(folder, manifest.generation) for manifest in manifests)
    return [*beside, *sorted(files), *names], manifests


def _is_spent(path: Path, manifests: list[Manifest]) -> bool:
    """Whether no manifest needs a file. What none covers and is not here was lost: there it stays."""
    if not manifests:
        return False
    generation, live = generation_of(path), live_name(path)
    if generation is not None:
        listed = {file.path for manifest in manifests for file in manifest.files}
        return generation <= manifests[-1].generation and f"{path.parent.name}/{path.name}" not in listed
    if live is not None:
        return all(manifest.covers_entry(*live) for manifest in manifests)
    return path.name.startswith("manifest-") and path.name < manifest_path(path, manifests[0].generation).name


def _put(store: ObjectStore, name: str, path: Path) -> int | None:
    """Put a file under its name, unless something has that name; None when it is gone from here meanwhile.

    Raises:
        BadArchive: what has the name is something else.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        obstore.put(store, name, data, mode="create", use_multipart=False)
    except AlreadyExistsError as error:
        if bytes(obstore.get(store, name).bytes()) != data:
            raise BadArchive(
                f"{name} has another content in the object store: another log is shipped to the same place"
            ) from error
    return len(data)


def _get(store: ObjectStore, name: str, path: Path) -> int:
    if path.exists():
        if path.stat().st_size != obstore.head(store, name)["size"]:
            raise BadArchive(
                f"{path} is another file than the one in the object store: fetch into an empty folder"
            )
        return 0
    data = bytes(obstore.get(store, name).bytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".fetching-{path.name}")
    temporary.write_bytes(data)
    temporary.replace(path)
    return len(data)


def _names(store: ObjectStore) -> Iterator[str]:
    for chunk in obstore.list(store):
        yield from (entry["path"] for entry in chunk)


def _counted_names(store: ObjectStore, names: list[str]) -> list[str]:
    """Names of the files that count, each dataset's manifest behind its files."""
    datasets: dict[Path, list[Path]] = {}
    wanted = [name for name in names if name.partition("/")[0] in _BESIDE]
    for path in map(Path, names):
        if path.suffix == ".parquet":
            datasets.setdefault(path.parent.parent, []).append(path)
    for folder, found in datasets.items():
        last = max((n for n in names if n.startswith(f"{folder.as_posix()}/manifest-")), default="")
        manifest = decode_manifest(bytes(obstore.get(store, last).bytes()), last) if last else NOTHING
        wanted += [path.as_posix() for path in counted(folder, found, manifest)]
        wanted += [last] if last else []
    return wanted
