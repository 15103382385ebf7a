"""Overload: which share of the decisions is logged while the platform cannot keep all of them.

Green: all. Yellow: a random share, written into each decision as its inclusion probability, so that what is
learnt and estimated from the log stays unbiased. Red: none. The answer comes in any case.

Three things are watched: the decisions that are pending (of as many as may be), the store's memory (of its
limit), and how far the learner is behind. Red is for memory; and for pending decisions, where the script that
logs them says so, since it knows to the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import redis
import redis.asyncio.client
from msgspec import Struct

from decision_service.settings import ServiceSettings
from sidecar.contracts.application import Application
from sidecar.contracts.books import clock_of
from sidecar.contracts.keys import Keys, learner_status

ALIVE_MS = 60_000
"""A learner that has not said a word for longer is not slow but gone: what waits for it waits in the store,
which has limits of its own, and thinning it out would be a loss for nothing."""


class Limits(Struct, frozen=True):
    """From where on less is logged."""

    max_pending: int
    """Decisions that may be pending in a partition."""
    backlog_s: float
    """Seconds that the learner may be behind; 0: any."""
    least_share: float
    """The share that yellow ends with."""


def limits_of(application: Application, settings: ServiceSettings) -> Limits:
    """The limits that an application configures."""
    max_pending = application.model.max_pending
    return Limits(max_pending, settings.overload_backlog_s, settings.overload_least_share)


class Slope(NamedTuple):
    """All below ``yellow``, then less and less down to the least share at ``most``."""

    yellow: float
    most: float


PENDING = Slope(0.6, 1.0)
"""Of ``max_pending``. At 1 the script refuses."""
MEMORY = Slope(0.7, 0.85)
"""Of the store's memory limit; red at its end."""
BACKLOG = Slope(1.0, 10.0)
"""Times ``backlog_s``."""


class Load(NamedTuple):
    """What was measured."""

    pending: tuple[int, ...] = ()
    """Of each partition."""
    memory: float = 0.0
    """Of the limit; 0 where there is none."""
    backlog_s: float = 0.0
    """How far a learner that works is behind."""
    memory_bytes: int = 0
    """What the store uses."""
    memory_limit_bytes: int = 0
    """What it may use at most; 0: nobody said."""


class Share(NamedTuple):
    """Which share of a partition's decisions is logged, and what it is that cannot keep up."""

    value: float = 1.0
    reason: str = ""


def share_of(load: Load, partition: int, limits: Limits) -> Share:
    """The least share that any of the three allows.

    >>> limits = Limits(max_pending=100, backlog_s=30.0, least_share=0.05)
    >>> share_of(Load((60, 80), memory=0.5, backlog_s=29.0), 0, limits)
    Share(value=1.0, reason='')
    >>> share_of(Load((60, 80), memory=0.5, backlog_s=29.0), 1, limits)
    Share(value=0.525, reason='pending')
    >>> share_of(Load((60, 80), memory=0.85), 1, limits)
    Share(value=0.0, reason='memory')
    """
    pending = load.pending[partition] / limits.max_pending if partition < len(load.pending) else 0.0
    behind = load.backlog_s / limits.backlog_s if limits.backlog_s else 0.0
    memory = 0.0 if load.memory >= MEMORY.most else _falling(load.memory, MEMORY, limits.least_share)
    shares = (
        Share(_falling(pending, PENDING, limits.least_share), "pending"),
        Share(memory, "memory"),
        Share(_falling(behind, BACKLOG, limits.least_share), "backlog"),
    )
    least = min(shares, key=lambda share: share.value)
    return least if least.value < 1.0 else Share()


def _falling(load: float, slope: Slope, least: float) -> float:
    reached = (load - slope.yellow) / (slope.most - slope.yellow)
    return 1.0 - min(max(reached, 0.0), 1.0) * (1.0 - least)


Pipe = redis.client.Pipeline | redis.asyncio.client.Pipeline


def ask(pipe: Pipe, app: str, partitions: int) -> None:
    """Queue what :func:`load_of` wants to know."""
    pipe.time()
    pipe.info("memory")
    pipe.hmget(learner_status(app), ["at_ms", "backlog_ms"])
    for partition in range(partitions):
        pipe.zcard(Keys(app, partition).due)


def load_of(
    clock: tuple[int, int],
    memory: Mapping[str, int],
    learner: Sequence[bytes | None],
    *pending: int,
) -> Load:
    """The load from the replies to :func:`ask`."""
    now_ms, limit = clock[0] * 1000 + clock[1] // 1000, memory.get("maxmemory", 0)
    at_ms, backlog_ms = map(clock_of, learner)  # foreign bytes are nobody's word
    works = now_ms - at_ms <= ALIVE_MS
    used, behind_s = memory["used_memory"], backlog_ms / 1000 if works else 0.0
    return Load(pending, used / limit if limit else 0.0, behind_s, used, limit)
