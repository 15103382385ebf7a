"""The spool's files: one folder a process, locked while it lives, in it segments that only grow.

A segment is removed as a whole when all of it has reached the store. The folder of a process that died is
free to be locked, and whoever does so sees to what it left. What was appended is on the disk.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LOCK = "lock"
_TRIES = 3
_SEGMENT = "{:08d}.spool"
REFUSED = "refused.spool"
"""Beside the folders: what will never be sent, kept for a person to look at."""


class SpoolFolder:
    """The folder of one living process; made at the first write. Not safe for several threads at once."""

    def __init__(self, root: Path, name: str = "") -> None:
        self._folder = root / (name or f"{os.getpid()}-{secrets.token_hex(4)}")
        self._lock: int | None = None
        self._open: tuple[int, int] | None = None
        """Number and descriptor of the segment that grows."""

    def append(self, number: int, content: bytes) -> None:
        """Add ``content`` to a segment, durably or not at all.

        Raises:
            OSError: it cannot be done; this segment must not be used again.
        """
        descriptor = self._descriptor(number)
        before = os.fstat(descriptor).st_size
        try:
            _write_all(descriptor, content)
            os.fdatasync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, before)
            raise

    def remove(self, number: int) -> None:
        """Drop a segment: all of it is in the store, or in another file."""
        if self._open is not None and self._open[0] == number:
            os.close(self._open[1])
            self._open = None
        with suppress(OSError):  # then it is sent again some day, which changes nothing
            self._path(number).unlink()

    def close(self) -> None:
        """Let go of the folder: it vanishes if nothing is left in it, else it is anybody's."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None
        if self._lock is not None:
            _release(self._folder, self._lock)
            self._lock = None

    def _descriptor(self, number: int) -> int:
        if self._open is not None and self._open[0] == number:
            return self._open[1]
        if self._lock is None:
            self._lock = _made_and_locked(self._folder)
        if self._open is not None:
            os.close(self._open[1])
            self._open = None
        descriptor = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._open = number, descriptor
        _sync_folder(self._folder)
        return descriptor

    def _path(self, number: int) -> Path:
        return self._folder / _SEGMENT.format(number)


class Orphan:
    """The folder of a process that is gone, locked by us."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder
        self._lock = lock

    def segments(self) -> Iterator[bytes]:
        """What its segments hold, the oldest first, flushed: its process may have died before that."""
        for path in sorted(self._folder.glob("*.spool")):
            with path.open("rb") as file:
                os.fdatasync(file.fileno())
                yield file.read()

    def remove(self) -> None:
        """All of it is in the store, or in another file."""
        for path in self._folder.glob("*.spool"):
            path.unlink()
        self.close()

    def close(self) -> None:
        """Let go of it."""
        _release(self._folder, self._lock)


def next_orphan(root: Path) -> Orphan | None:
    """A folder below ``root`` whose process is gone, if there is one."""
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        with suppress(OSError):
            lock = _locked(folder, create=False)
            if any(folder.glob("*.spool")):
                return Orphan(folder, lock)
            _release(folder, lock)
    return None


def keep_refused(root: Path, content: bytes) -> None:
    """Keep records that will never be sent.

    Raises:
        OSError: it cannot be done.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(root / REFUSED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        _write_all(descriptor, content)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _made_and_locked(folder: Path) -> int:
    """Somebody who looks for orphans may hold a folder that is being made, or remove it: then once more.

    Raises:
        OSError: it cannot be done.
    """
    for _ in range(_TRIES - 1):
        with suppress(OSError):
            return _made_and_locked_once(folder)
    return _made_and_locked_once(folder)


def _made_and_locked_once(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _locked(folder, create=True)


def _locked(folder: Path, *, create: bool) -> int:
    """The lock of ``folder``.

    Raises:
        OSError: its process lives, or it is gone.
    """
    descriptor = os.open(folder / _LOCK, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(descriptor).st_nlink:
            raise FileNotFoundError(f"{folder} was removed meanwhile")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _release(folder: Path, lock: int) -> None:
    """Unlock ``folder``, and remove it if it holds nothing."""
    with suppress(OSError):
        if not any(folder.glob("*.spool")):
            shutil.rmtree(folder)
    os.close(lock)


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_folder(folder: Path) -> None:
    """A file that is not in its folder after a power cut was never written."""
    for path in (folder, folder.parent, folder.parent.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
