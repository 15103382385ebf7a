"""Demand times costs: processes, partitions, memory, disk, network."""

from __future__ import annotations

import math
from typing import NamedTuple

from msgspec import Struct

from decision_service.capacity.costs import Costs
from sidecar.contracts.keys import ANSWER_RETENTION_MS

BUSY = 0.6
"""Of a core that somebody waits for: beyond it queues grow faster than the load."""
STORE_BUSY = 0.5
"""Of the one core that a store's primary has for commands: a script waits for the one before it."""
BEHIND_BUSY = 0.8
"""Of what nobody waits for."""
STORE_FULL = 0.6
"""Of a primary's memory limit: from 0.7 on a share of the decisions is logged."""
UNTIL_TRIMMED_S = 90.0
"""From a decision's closing until it is behind a checkpoint and in a file, by the default settings."""
MOST_PARTITIONS = 256
_DAY_S = 86_400.0
_SPARE_PARTITIONS = 4
"""Partitions a primary, so that they spread evenly and some can move."""


class Demand(Struct, frozen=True):
    """What is asked of one application."""

    decisions_per_s: float
    """At the peak that must be answered in time."""
    horizon_s: float = 1800.0
    tombstone_s: float = _DAY_S
    arms: int = 20
    per_session: float = 1.0
    """Decisions of a session within horizon and tombstone time."""
    average: float = 1.0
    """Mean load, as a share of the peak: what days of log are made of."""
    publish_per_s: float = 20.0
    """Versions of the weights."""
    node_gb: float = 64.0
    """Memory limit of one primary of the store (10^9 bytes)."""
    replicas: int = 1
    """Of each primary."""


class Need(NamedTuple):
    """What that takes."""

    pods: int
    """Of service and sidecar, a core for the one and some of another for the other."""
    pod_cores: float
    """All of them together."""
    logged: float
    """Share of the decisions that the one learner can take in: 1, all."""
    applications: int
    """Into how many the traffic must be divided for all of it to be logged and learnt."""
    joiners: int
    learner_cores: float
    """Of the learner with its helpers."""
    primaries: int
    partitions: int
    store_bytes: float
    """Without replicas."""
    journal_bytes_per_s: float
    """Written to disk by all primaries together."""
    log_bytes_per_day: float
    callers_bytes_per_s: float
    store_bytes_per_s: float
    """Between processes and store; replicas get as much as the journal again."""
    weights_bytes_per_s: float
    """Out of the one primary that has the application's weights."""


def need(demand: Demand, costs: Costs) -> Need:
    """What ``demand`` takes of one application, of which what cannot be learnt is not logged."""
    rate = demand.decisions_per_s
    most = costs.learner_per_s * BEHIND_BUSY
    logged_per_s = min(rate, most)
    pods = max(2, math.ceil(rate * costs.service_us / 1e6 / BUSY))
    held = logged_per_s * bytes_held(demand, costs)
    primaries = _primaries(rate, logged_per_s, held, demand, costs)
    behind_us = costs.learner_us + costs.joiner_us + costs.archiver_us
    return Need(
        pods=pods,
        pod_cores=rate * (costs.service_us + costs.sidecar_us) / 1e6 / BUSY,
        logged=logged_per_s / rate,
        applications=math.ceil(rate / most),
        joiners=max(2, math.ceil(logged_per_s * costs.joiner_us / 1e6 / BUSY)),
        learner_cores=logged_per_s * behind_us / 1e6 / BEHIND_BUSY,
        primaries=primaries,
        partitions=_partitions(primaries),
        store_bytes=held,
        journal_bytes_per_s=logged_per_s * costs.journal_bytes,
        log_bytes_per_day=logged_per_s * demand.average * costs.row_bytes * _DAY_S,
        callers_bytes_per_s=rate * costs.http_bytes,
        store_bytes_per_s=logged_per_s * (costs.log_bytes + 2 * costs.stream_bytes),
        weights_bytes_per_s=pods * demand.publish_per_s * costs.delta_bytes,
    )


def bytes_held(demand: Demand, costs: Costs) -> float:
    """Bytes that lie in the store for each logged decision a second: how long times how large."""
    waiting = costs.pending_bytes + max(0, demand.arms - 20) * costs.arm_bytes
    looked_at_s = min(ANSWER_RETENTION_MS / 1000, demand.tombstone_s)
    return (
        demand.horizon_s * (waiting - costs.session_bytes)
        + (demand.horizon_s + demand.tombstone_s) * costs.session_bytes / demand.per_session
        + looked_at_s * costs.answer_bytes
        + demand.tombstone_s * costs.tombstone_bytes
        + UNTIL_TRIMMED_S * costs.stream_bytes
    )


def _primaries(rate: float, logged_per_s: float, held: float, demand: Demand, costs: Costs) -> int:
    busy = (rate * costs.store_us + logged_per_s * costs.store_learning_us) / 1e6 / STORE_BUSY
    return max(1, math.ceil(busy), math.ceil(held / (demand.node_gb * 1e9) / STORE_FULL))


def _partitions(primaries: int) -> int:
    """A power of two; what an application may have at most."""
    return min(MOST_PARTITIONS, max(4, 1 << math.ceil(math.log2(primaries * _SPARE_PARTITIONS))))
