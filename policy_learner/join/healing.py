"""Keys of another kind than ours: they are looked for now and then, and whenever one has stopped somebody."""

from __future__ import annotations

import logging

import redis

from sidecar.contracts.application import Application
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.heal import heal_app_call, heal_call, parse_heal
from sidecar.contracts.store import Scripts, StoreError

log = logging.getLogger("sidearm.learner")


def heal(scripts: Scripts, application: Application) -> list[str]:
    """Throw away what is of another kind, and say so; the keys that are empty now.

    Raises:
        StoreError: the store is away.
    """
    partitions = [Keys(application.name, partition) for partition in range(application.partitions)]
    replies = scripts.run_all([heal_app_call(application.name), *map(heal_call, partitions)])
    emptied = [key for reply in replies for key in parse_heal(reply)]
    for key in emptied:
        log.error("%s was of another kind than ours: thrown away, what it held before is lost", key)
    return emptied


def healed(scripts: Scripts, application: Application, error: Exception) -> bool:
    """Whether such a key was what an error came from, and is gone: then it is worth trying again at once."""
    if not (isinstance(error, redis.ResponseError) and "WRONGTYPE" in str(error)):
        return False
    try:
        return bool(heal(scripts, application))
    except StoreError:
        return False
