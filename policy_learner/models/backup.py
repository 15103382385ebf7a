"""Backups of model and position: to a folder, or to whatever object store pyarrow can write to.

::

    <where>/<app>/<version>-<beginning of the state's sha256>/
        checkpoint      the trainer's own state and positions, as ``checkpoint.py`` writes it
        weights         the weights record of the same version
        manifest.json   sizes and checksums of both, and what model it is; written last

A backup without a manifest, or whose files are not what it says, is none: it was cut short.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
from msgspec import Struct
from pyarrow import fs

from policy_learner.errors import BadBackup, BadCheckpoint, NothingToBackUp
from policy_learner.models import checkpoint
from policy_learner.models.checkpoint import Checkpoint
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.weights import decode_weights

FORMAT = 1
CHECKPOINT, WEIGHTS, MANIFEST = "checkpoint", "weights", "manifest.json"

log = logging.getLogger("sidearm.learner")


class File(Struct, frozen=True):
    """One file of a backup."""

    size_bytes: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup is. Evolution: new fields have defaults, nothing changes type."""

    format: int = FORMAT
    app: str
    version: int
    epoch: int
    examples: int
    positions: tuple[str, ...]
    trained: tuple[str, ...]
    bits: int
    interactions: tuple[str, ...]
    files: dict[str, File]

    @property
    def name(self) -> str:
        """Of its folder; in the order of versions."""
        return f"{self.version:016d}-{self.files[CHECKPOINT].sha256[:12]}"


class Backup(NamedTuple):
    """A backup that was read, and is whole."""

    manifest: Manifest
    checkpoint: Checkpoint
    record: bytes
    """Of the weights."""


class Place:
    """Where the backups of one application lie.

    Args:
        where: a folder, or an address that pyarrow knows: ``s3://bucket/prefix?endpoint_override=…``.
        app: the application's name.

    Raises:
        BadBackup: ``where`` is no such address.
    """

    def __init__(self, where: str, app: str) -> None:
        try:
            self._files, root = _filesystem(where)
        except (pa.ArrowInvalid, OSError) as error:
            raise BadBackup(f"{where!r} is no folder and no address of an object store: {error}") from error
        self.where, self._app = where, app
        self._root = f"{root.rstrip('/')}/{app}"

    def write(self, manifest: Manifest, contents: dict[str, bytes]) -> bool:
        """Put a backup there; False when the same one is there already.

        Raises:
            BadBackup: it cannot be written.
        """
        folder = f"{self._root}/{manifest.name}"
        try:
            if self._manifest(manifest.name) == manifest:
                return False
            self._files.create_dir(folder, recursive=True)
            for name, content in contents.items():
                self._put(f"{folder}/{name}", content)
            self._put(f"{folder}/{MANIFEST}", msgspec.json.format(msgspec.json.encode(manifest)))
        except OSError as error:
            raise BadBackup(f"no backup to {self.where}: {error}") from error
        return True

    def manifests(self) -> list[Manifest]:
        """All backups that have a manifest, oldest version first.

        Raises:
            BadBackup: the place cannot be read.
        """
        try:
            found = self._files.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
            names = sorted(info.base_name for info in found if info.type == fs.FileType.Directory)
            return [manifest for name in names if (manifest := self._manifest(name)) is not None]
        except OSError as error:
            raise BadBackup(f"backups in {self.where} cannot be read: {error}") from error

    def read(self, manifest: Manifest) -> Backup:
        """A backup whose files are what its manifest says.

        Raises:
            BadBackup: they are not.
        """
        folder = f"{self._root}/{manifest.name}"
        try:
            contents = {name: self._get(f"{folder}/{name}") for name in manifest.files}
        except OSError as error:
            raise BadBackup(f"{folder} cannot be read: {error}") from error
        for name, content in contents.items():
            if _file(content) != manifest.files[name]:
                raise BadBackup(f"{folder}/{name} is not what the manifest says: cut or altered")
        try:
            saved = checkpoint.decode(contents[CHECKPOINT], f"{folder}/{CHECKPOINT}")
            decode_weights(contents[WEIGHTS])
        except (BadCheckpoint, BadWeights, KeyError) as error:
            raise BadBackup(f"{folder}: {error}") from error
        return Backup(manifest, saved, contents[WEIGHTS])

    def thin(self, keep: int) -> list[Manifest]:
        """Delete all but the ``keep`` newest; what was deleted.

        Raises:
            BadBackup: they cannot be.
        """
        old = self.manifests()[:-keep]
        try:
            for manifest in old:
                self._files.delete_file(f"{self._root}/{manifest.name}/{MANIFEST}")  # first: then it is none
                self._files.delete_dir(f"{self._root}/{manifest.name}")
        except OSError as error:
            raise BadBackup(f"old backups in {self.where} cannot be deleted: {error}") from error
        return old

    def _manifest(self, name: str) -> Manifest | None:
        try:
            manifest = msgspec.json.decode(self._get(f"{self._root}/{name}/{MANIFEST}"), type=Manifest)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            log.error("%s/%s has no readable manifest: %s", self._root, name, error)
            return None
        if manifest.format != FORMAT or manifest.app != self._app or manifest.name != name:
            log.error("%s/%s holds the backup of something else", self._root, name)
            return None
        return manifest

    def _put(self, path: str, content: bytes) -> None:
        with self._files.open_output_stream(path) as stream:
            stream.write(content)

    def _get(self, path: str) -> bytes:
        with self._files.open_input_stream(path) as stream:
            content: bytes = stream.read()
        return content


def back_up(folder: Path, app: str, place: Place) -> tuple[Manifest, bool]:
    """Put the newest whole checkpoint there.

    Returns:
        What it is, and whether it was not there already.

    Raises:
        BadBackup: there is no checkpoint yet, or the place cannot be written to.
    """
    complaint = ""
    for _ in range(2):  # the learner may replace the files meanwhile
        saved = checkpoint.load_latest(folder)
        if saved is None:
            raise NothingToBackUp(f"no checkpoint in {folder} yet: the learner writes one a minute")
        try:
            contents = {
                CHECKPOINT: checkpoint.encode(saved),
                WEIGHTS: (folder / f"weights-{saved.version}.bin").read_bytes(),
            }
            header = decode_weights(contents[WEIGHTS]).header
        except (FileNotFoundError, BadWeights) as error:
            complaint = f"the weights of the checkpoint of version {saved.version} in {folder}: {error}"
            continue
        manifest = Manifest(
            app=app,
            version=saved.version,
            epoch=saved.epoch,
            examples=saved.examples,
            positions=saved.positions,
            trained=saved.trained,
            bits=header.bits,
            interactions=header.interactions,
            files={name: _file(content) for name, content in contents.items()},
        )
        return manifest, place.write(manifest, contents)
    raise BadBackup(complaint)


def _file(content: bytes) -> File:
    return File(len(content), hashlib.sha256(content).hexdigest())


def _filesystem(where: str) -> tuple[fs.FileSystem, str]:
    if "://" in where:
        found, root = fs.FileSystem.from_uri(where)
        return found, root
    return fs.LocalFileSystem(), str(Path(where).absolute())
