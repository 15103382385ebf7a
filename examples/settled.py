"""Wait until the learner has learnt all that was logged, and read the weights that came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

import msgspec
import redis

from sidecar.contracts.application import Application
from sidecar.contracts.deltas import read_newest
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.keys import Keys, learner_status
from sidecar.contracts.weights import Weights

_POLL_S = 0.1


class NotSettled(SidearmError):
    """The learner did not come to the end in time."""


def wait_until_learnt(
    client: redis.Redis,
    application: Application,
    *,
    deadline_s: float,
    look: Callable[[int], None] = lambda pending: None,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Until no decision waits for its horizon and the published weights have seen every example.

    Args:
        client: of the store.
        application: whose learner runs.
        deadline_s: give up after so long.
        look: told how many decisions are not learnt yet; may raise to end the wait.
        now_s: a clock, in seconds.
        sleep: between two looks.

    Raises:
        NotSettled: not within ``deadline_s``; says what the learner last said of itself.
    """
    end_s = now_s() + deadline_s
    while left := unlearnt(client, application):
        look(left)
        if now_s() > end_s:
            status = cast("dict[bytes, bytes]", client.hgetall(learner_status(application.name)))
            said = ", ".join(f"{k.decode()}={v.decode()}" for k, v in sorted(status.items()))
            raise NotSettled(f"{left} decisions not learnt within {deadline_s:g} s; the learner: {said}")
        sleep(_POLL_S)


def unlearnt(client: redis.Redis, application: Application) -> int:
    """Decisions that the learner is not done with: pending, not read, or not published.

    It says once a second how far it has read; until it has said so, they count.
    """
    status = cast("dict[bytes, bytes]", client.hgetall(learner_status(application.name)))
    positions = msgspec.json.decode(status.get(b"positions", b"[]"), type=list[str])
    left = int(status.get(b"lag_ms", b"1") != b"0")
    for partition in range(application.partitions):
        keys = Keys(application.name, partition)
        read = positions[partition] if partition < len(positions) else "0-0"
        # Pending first: what is finalised between the two looks is then seen by the second.
        left += client.zcard(keys.due)
        left += len(client.xrange(keys.examples, min=f"({read}", count=1000) or ())
    return left


def published_weights(client: redis.Redis, app: str) -> Weights:
    """The weights that are served now.

    Raises:
        NotSettled: none have been published.
        BadWeights: the record is damaged.
    """
    newest = read_newest(client, app)
    if newest is None:
        raise NotSettled(f"application {app!r} has published no weights")
    return newest.weights


def weights_age_s(client: redis.Redis, app: str) -> float:
    """Since the newest example in the published weights was finalised, by the store's clock; NaN without."""
    newest = read_newest(client, app)
    if newest is None:
        return float("nan")
    seconds, micros = client.time()
    return seconds + micros / 1e6 - newest.weights.header.trained_until_ms / 1000
