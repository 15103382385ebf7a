"""A sidecar that looks at the published weights after every turn: whole records, and never older ones."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from redis import Redis

from policy_learner.join.positions import order
from sidecar.contracts import keys as app_keys
from sidecar.contracts.scripts.publish import decode_positions
from sidecar.contracts.weights import decode_weights
from tests.faults.customer import Violation


class Seen(NamedTuple):
    taken: int
    """The epoch that was taken last."""
    version: int
    epoch: int
    positions: tuple[str, ...]


class Follower:
    def __init__(self, client: Redis, app: str):
        self._client, self._app = client, app
        self._decoded, self._before = b"", Seen(0, 0, 0, ())

    def look(self) -> Seen:
        pipe = self._client.pipeline(transaction=False)
        pipe.get(app_keys.epoch(self._app))
        pipe.hmget(app_keys.weights(self._app), "version", "epoch", "positions", "record", "checksum")
        taken, (version, epoch, positions, record, checksum) = pipe.execute()
        if version is None:
            return Seen(int(taken or 0), 0, 0, ())
        seen = Seen(int(taken), int(version), int(epoch or 0), decode_positions(positions or b"[]"))
        if checksum != self._decoded:
            self._decode(seen, record, checksum)
        return seen

    def judge(self) -> None:
        """What became of the weights while one learner was running; nobody else changes them."""
        before, now = self._before, self.look()
        self._before = now
        if now.version == before.version:
            return
        if (now.version, now.epoch) < (before.version, before.epoch) or now.epoch < before.epoch:
            raise Violation(f"I5 weights fell from {before} to {now}")
        if now.epoch < before.taken:
            raise Violation(f"I5 a learner published under epoch {now.epoch}, taken was {before.taken}")
        if len(now.positions) < len(before.positions):
            raise Violation(f"I5 positions are gone: {before}, {now}")
        fell = [b for a, b in zip(before.positions, now.positions, strict=False) if order(b) < order(a)]
        if fell:
            raise Violation(f"I5 positions fell from {before} to {now}")

    def _decode(self, seen: Seen, record: bytes, checksum: bytes) -> None:
        header = decode_weights(record).header
        if (header.version, header.epoch, header.positions) != (seen.version, seen.epoch, seen.positions):
            raise Violation(f"I5 half a model: the record is {header}, beside it stands {seen}")
        if hashlib.sha256(record).hexdigest().encode() != checksum:
            raise Violation(f"I4 the record of version {seen.version} is not what its checksum says")
        self._decoded = checksum
