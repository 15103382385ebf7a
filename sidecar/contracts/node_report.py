"""What a service says of the nodes of its feature graph: of runs that it looked at, a few a second.

Evolution: new fields have defaults, nothing changes type.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

import msgspec
from msgspec import Struct

from sidecar.contracts import keys
from sidecar.contracts.scripts.call import Call

_STEP = math.log(1.05)
_LEAST_MS = 0.001
_DIGITS = 14
SILENT_MS = 150_000
"""Every service speaks once a minute at least, whatever it has to say."""
Key = TypeVar("Key", str, int)


class NodeSeen(Struct, frozen=True):
    """One node."""

    outcomes: dict[str, int]
    """Status to how often it came out so, over the latest minute or two."""
    took: dict[int, int]
    """Level of the milliseconds that it took, see :func:`level_of`, to how often, over the same time."""
    last_ms: float | None = None
    """null: it never began."""
    last_status: str = ""
    last_at_ms: int = 0
    trouble: str = ""
    """How it failed last; empty: it never did."""
    trouble_at_ms: int = 0


class NodeReport(Struct, frozen=True):
    """All nodes, of one service."""

    nodes: dict[str, NodeSeen]
    runs: int = 0
    """Runs of the graph that were looked at, over the same time."""


def level_of(ms: float) -> int:
    """A time as a whole number; two of one level differ by 5 % at most.

    >>> level_of(0.0), level_of(1.0), level_of(1.02), level_of(100.0)
    (0, 142, 142, 236)
    """
    return round(math.log(max(ms, _LEAST_MS) / _LEAST_MS) / _STEP)


def quantile_of(took: Mapping[int, int], share: float) -> float | None:
    """Milliseconds that a share of all stayed below; None: there are none.

    >>> quantile_of({142: 99, 236: 1}, 0.5), quantile_of({}, 0.5)
    (1.0206..., None)
    """
    left = share * sum(took.values())
    for level in sorted(took):
        left -= took[level]
        if left <= 0:
            return _LEAST_MS * math.exp(level * _STEP)
    return None


def nodes_call(app: str, service: str, report: NodeReport) -> Call:
    """Say it; who was silent for ten minutes is left out from then on."""
    where = (keys.nodes(app), keys.weights(app), keys.app_skew(app))
    return Call("working", where, (service, msgspec.json.encode(report)))


def decode_reports(stored: Mapping[bytes, bytes]) -> dict[str, NodeReport]:
    """By service, of those that spoke lately, by the latest of them.

    What cannot be read is left out: it is a word for people.
    """
    said = {name.decode(errors="replace"): one.partition(b"|")[::2] for name, one in stored.items()}
    times = {
        name: int(at_ms) for name, (at_ms, _) in said.items() if at_ms.isdigit() and len(at_ms) <= _DIGITS
    }
    found = {}
    for name, at_ms in times.items():
        if at_ms > max(times.values()) - SILENT_MS:
            with suppress(msgspec.MsgspecError):
                found[name] = msgspec.json.decode(said[name][1], type=NodeReport)
    return found


def together(reports: Iterable[NodeReport]) -> NodeReport:
    """What several services say, as if it were one."""
    found: dict[str, NodeSeen] = {}
    runs = 0
    for report in reports:
        runs += report.runs
        for name, seen in report.nodes.items():
            found[name] = _both(found[name], seen) if name in found else seen
    return NodeReport(found, runs)


def _both(one: NodeSeen, other: NodeSeen) -> NodeSeen:
    latest = max(one, other, key=lambda seen: seen.last_at_ms)
    troubled = max(one, other, key=lambda seen: seen.trouble_at_ms)
    return msgspec.structs.replace(
        latest,
        outcomes=_added(one.outcomes, other.outcomes),
        took=_added(one.took, other.took),
        trouble=troubled.trouble,
        trouble_at_ms=troubled.trouble_at_ms,
    )


def _added(one: Mapping[Key, int], other: Mapping[Key, int]) -> dict[Key, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
