"""Publishing: weights, positions and the list of what was trained on, in one fenced write."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from policy_learner.errors import Fenced, Overtaken
from policy_learner.training import Record
from sidecar.contracts.scripts.publish import (
    Batch,
    Publication,
    PublishStatus,
    parse_publish,
    publish_call,
)
from sidecar.contracts.store import Scripts

log = logging.getLogger("sidearm.learner")


def publication_of(record: Record, batches: Sequence[Batch]) -> Publication:
    """A version of the weights as it is published."""
    header = record.weights.header
    return Publication(
        epoch=header.epoch,
        version=header.version,
        record=record.encoded,
        positions=header.positions,
        examples=header.examples,
        batches=tuple(batches),
        checksum=record.checksum,
    )


def publish(scripts: Scripts, app: str, publication: Publication) -> None:
    """Make the version stand. Sending the same one again is harmless: a lost reply is simply asked for again.

    Raises:
        Fenced: another learner took over.
        Overtaken: another learner published this version.
        StoreError: unknown whether it stands; send it again.
    """
    status = parse_publish(scripts.run(publish_call(app, publication)))
    if status is PublishStatus.FENCED:
        raise Fenced(
            f"learner of epoch {publication.epoch} is fenced off: a later one runs; version "
            f"{publication.version} was not published"
        )
    if status is PublishStatus.STALE:
        raise Overtaken(f"version {publication.version} was published by another learner")
