"""The arms by catalogue version, from the store or from the log, each read once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import redis

from sidecar.contracts import keys
from sidecar.contracts.catalogue import Catalogue, decode_arms
from sidecar.contracts.errors import UnknownCatalogue

ReadArms = Callable[[str], bytes | None]
"""Catalogue version to its arms as ``encode_arms`` wrote them, or None."""


class Catalogues:
    """Catalogues by version; a version never changes, so nothing is read twice."""

    def __init__(self, read: ReadArms) -> None:
        self._read = read
        self._known: dict[str, Catalogue] = {}
        self._ids: dict[str, tuple[str, ...]] = {}

    def get(self, version: str) -> Catalogue:
        """A catalogue.

        Raises:
            UnknownCatalogue: nobody has it.
        """
        if version not in self._known:
            data = self._read(version)
            if data is None:
                raise UnknownCatalogue(f"catalogue {version!r} is neither in the store nor in the log")
            self._known[version] = Catalogue(version, decode_arms(data))
        return self._known[version]

    def ids(self, version: str) -> tuple[str, ...]:
        """The arms' ids in the catalogue's order; none when nobody has it."""
        if version not in self._ids:
            try:
                self._ids[version] = tuple(arm.id for arm in self.get(version).arms)
            except UnknownCatalogue:
                return ()
        return self._ids[version]


def catalogue_folder(log: Path) -> Path:
    """Where the log keeps its catalogues."""
    return log / "catalogues"


def read_from_log(log: Path) -> ReadArms:
    """Reads ``catalogues/<version>.json``."""

    def read(version: str) -> bytes | None:
        try:
            return (catalogue_folder(log) / f"{version}.json").read_bytes()
        except FileNotFoundError:
            return None

    return read


def read_from_store(client: redis.Redis, app: str, log: Path) -> ReadArms:
    """Reads the store's hash and copies what it finds to the log; reads the log where the store has none."""
    archived = read_from_log(log)

    def read(version: str) -> bytes | None:
        data = cast("bytes | None", client.hget(keys.catalogues(app), version))
        if data is None:
            return archived(version)
        write_once(catalogue_folder(log) / f"{version}.json", data)
        return data

    return read


def write_once(path: Path, data: bytes) -> None:
    """A whole file on disk, or none; one that exists already has the same content."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
