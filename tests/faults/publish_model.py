"""Publishing in plain Python: epochs that fence, versions that only rise."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    epoch: int
    version: int
    checksum: str


class PublishModel:
    def __init__(self):
        self.taken = 0
        self.stands: Published | None = None
        self.history: list[int] = []  # versions, as the version log has them

    def take_epoch(self):
        self.taken += 1
        return self.taken

    def publish(self, epoch, version, checksum):
        sent, stands = Published(epoch, version, checksum), self.stands
        if epoch < self.taken:
            return "FENCED"
        if sent == stands:
            return "OK"
        if stands and version <= stands.version:
            return "STALE"
        self.stands = sent
        self.history.append(version)
        return "OK"
