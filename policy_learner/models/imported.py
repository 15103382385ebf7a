"""Models that came from elsewhere, in the log beside the catalogues: what they decided can be replayed."""

from __future__ import annotations

import os
from pathlib import Path

from sidecar.contracts.weights import Weights, decode_weights


class ImportedModels:
    """``models/<version>.bin`` below an application's log: weights records, each written once.

    Args:
        log: root of the application's datasets.
    """

    def __init__(self, log: Path) -> None:
        self._folder = log / "models"

    def versions(self) -> list[int]:
        """All that are there, in order."""
        return sorted(int(path.stem) for path in self._folder.glob("*.bin") if path.stem.isdigit())

    def add(self, version: int, record: bytes) -> bool:
        """Write it, whole or not at all; False when another one has that number.

        Raises:
            OSError: the disk is full or away.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{version}.{os.getpid()}"
        try:
            with temporary.open("wb") as file:
                file.write(record)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, self._path(version))  # fails if it exists
        except FileExistsError:
            return self._path(version).read_bytes() == record
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def read(self, version: int) -> Weights | None:
        """A model; None when there is none of that number.

        Raises:
            BadWeights: its file is damaged.
        """
        try:
            return decode_weights(self._path(version).read_bytes())
        except FileNotFoundError:
            return None

    def _path(self, version: int) -> Path:
        return self._folder / f"{version}.bin"
