"""Publishing: weights, positions and the list of what was trained on, in one fenced write.

A version that changes little is sent as a delta onto the one before; now and then, and whenever that is not
worth it, whole. Its checksum is that of its whole record either way, so replay and restart know of no deltas.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from policy_learner.errors import Fenced, Overtaken
from policy_learner.learning.records import Record
from sidecar.contracts.deltas import Summed, encode_delta
from sidecar.contracts.scripts.publish import (
    Batch,
    Publication,
    PublishStatus,
    parse_publish,
    publish_call,
)
from sidecar.contracts.store import Scripts

if TYPE_CHECKING:
    from policy_learner.timing import Every

log = logging.getLogger("sidearm.learner")


DELTA_FROM_BYTES = 65_536
"""A smaller record is as cheap as a delta, and needs no base."""
_WORTHWHILE = 2
"""A delta is sent if the record is so many times as long."""


class Publisher:
    """Knows what stands, so that the next version can be sent as what changed.

    Args:
        whole: when the record is written whole again, though a delta would do.
    """

    def __init__(self, whole: Every) -> None:
        self._whole = whole
        self._sent: Summed | None = None
        self._stands: Summed | None = None

    def publication_of(self, record: Record, batches: Sequence[Batch], base: str = "") -> Publication:
        """A version of the weights as it is published: whole, or as a delta onto the one that stands.

        Args:
            record: the version.
            batches: what it was trained on.
            base: id of the base that they were trained on; empty: the version before.
        """
        header = record.weights.header
        self._sent = Summed(record.weights, record.checksum)
        publication = Publication(
            epoch=header.epoch,
            version=header.version,
            record=record.encoded,
            positions=header.positions,
            examples=header.examples,
            batches=tuple(batches),
            checksum=record.checksum,
            base=base,
        )
        delta = self._delta(self._sent, len(record.encoded))
        if self._stands is None or not delta:
            return publication
        return msgspec.structs.replace(
            publication,
            delta=delta,
            base_version=self._stands.weights.header.version,
            base_checksum=self._stands.checksum,
            whole=self._whole.due,
        )

    def stands(self, publication: Publication) -> None:
        """This publication is the newest now."""
        if self._sent and self._sent.checksum == publication.checksum:
            self._stands = self._sent
        if publication.whole:
            self._whole.restart()

    def _delta(self, fresh: Summed, record_bytes: int) -> bytes:
        if self._stands is None or record_bytes < DELTA_FROM_BYTES:
            return b""
        delta = encode_delta(self._stands, fresh)
        return delta if len(delta) * _WORTHWHILE <= record_bytes else b""


def publish(scripts: Scripts, app: str, publication: Publication) -> None:
    """Make the version stand. Sending the same one again is harmless: a lost reply is simply asked for again.

    Raises:
        Fenced: another learner took over.
        Overtaken: another learner published this version.
        StoreError: unknown whether it stands; send it again.
    """
    status = parse_publish(scripts.run(publish_call(app, publication)))
    if status is PublishStatus.BASE:  # not what this learner published last: somebody wrote there by hand
        log.warning("version %d is published whole: its delta does not fit", publication.version)
        whole = msgspec.structs.replace(publication, delta=b"", whole=True)
        status = parse_publish(scripts.run(publish_call(app, whole)))
    if status is PublishStatus.FENCED:
        raise Fenced(
            f"learner of epoch {publication.epoch} is fenced off: a later one runs; version "
            f"{publication.version} was not published"
        )
    if status is PublishStatus.STALE:
        raise Overtaken(f"version {publication.version} was published by another learner")
