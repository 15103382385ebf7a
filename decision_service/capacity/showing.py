"""What a demand needs, as rows of a table: what, how much, and what it is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator

from decision_service.capacity.costs import Costs
from decision_service.capacity.sizing import MOST_PARTITIONS, Demand, Need, bytes_held

Row = tuple[str, str, str]
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def rows(demand: Demand, costs: Costs, found: Need) -> Iterator[Row]:
    """The whole answer."""
    yield from _processes(demand, costs, found)
    yield from _store(demand, costs, found)
    yield "log", f"{size(found.log_bytes_per_day)} a day", f"{size(costs.row_bytes)} a row, compressed"
    yield "callers", f"{size(found.callers_bytes_per_s)}/s", f"{size(costs.http_bytes)} a decision, both ways"


def _processes(demand: Demand, costs: Costs, found: Need) -> Iterator[Row]:
    yield (
        "pods of service and sidecar",
        f"{found.pods:,} ({found.pod_cores:,.1f} cores)",
        f"{costs.service_us:g} + {costs.sidecar_us:g} µs a decision",
    )
    yield (
        "logged and learnt",
        f"{found.logged:.1%}",
        f"{costs.learner_per_s:,.0f}/s is what one learner takes",
    )
    if found.applications > 1:
        yield (
            "… all of it",
            f"{found.applications:,} applications",
            "training does not shard: divide the traffic",
        )
    beside = costs.joiner_us + costs.archiver_us
    about = f"{costs.learner_us:g} + {beside:g} µs a logged decision"
    yield "learner, joiners, archiver", f"1, {found.joiners}, 1 ({found.learner_cores:.1f} cores)", about


def _store(demand: Demand, costs: Costs, found: Need) -> Iterator[Row]:
    copies = 1 + demand.replicas
    yield (
        "store, memory",
        f"{size(found.store_bytes)} × {copies}",
        f"{size(bytes_held(demand, costs))} for each logged decision a second",
    )
    nodes = found.primaries * copies
    about = f"{costs.store_us:g} + {costs.store_learning_us:g} µs, {demand.node_gb:g} GB each"
    yield "store, primaries", f"{found.primaries:,} ({nodes:,} nodes)", about
    most = "the most there are" if found.partitions == MOST_PARTITIONS else "or more"
    yield "partitions", f"{found.partitions}, {most}", "chosen once; each is a slot of a cluster"
    waiting = math.ceil(demand.decisions_per_s * found.logged * demand.horizon_s / found.partitions)
    yield "max_pending, at least", f"{waiting:,}", "decisions of a partition that wait for their horizon"
    yield "store, disk", f"{size(found.journal_bytes_per_s)}/s", "append-only files, on every node's share"
    yield "store, network", f"{size(found.store_bytes_per_s)}/s", "decisions in; learner and archiver read"
    pods = f"{demand.publish_per_s:g} versions a second × {size(costs.delta_bytes)} × {found.pods:,} sidecars"
    yield "weights", f"{size(found.weights_bytes_per_s)}/s from one primary", pods


def size(count: float) -> str:
    """Bytes with a prefix, powers of 1,000, three digits.

    >>> size(1100), size(999_950), size(2.5e12), size(14)
    ('1.1 kB', '1 MB', '2.5 TB', '14 B')
    """
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{float(f'{count:.3g}'):g} {_UNITS[unit]}"
