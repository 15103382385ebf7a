"""Entries that could not be decoded or learnt: kept with their reason, so that the learner can go on."""

from __future__ import annotations

import logging

import redis

from policy_learner.streams import Entry
from sidecar.contracts.keys import Keys

MOST_KEPT = 10_000
"""Per partition, about: a flood of poison must not fill the store. Decodable ones have their row anyway."""

log = logging.getLogger("sidearm.learner")


def bury(client: redis.Redis, keys: Keys, entry: Entry, reason: str) -> None:
    """Put an entry of the example stream into the dead-letter stream under its own position.

    Doing so again changes nothing: the position is taken.
    """
    position, fields = entry
    log.error("entry %s of partition %d is not learnt: %s", position, keys.partition, reason)
    kept = {**fields, b"reason": reason.encode()}
    try:
        client.xadd(keys.dead, kept, id=position, maxlen=MOST_KEPT, approximate=True)  # type: ignore[arg-type]
    except redis.ResponseError as error:
        if "equal or smaller" not in str(error):
            raise
