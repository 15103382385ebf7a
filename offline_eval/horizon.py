"""How long should a decision wait for its rewards? The log says what each window would have caught.

A reward that came after its decision's horizon was not joined, but it lies in the ``late`` dataset, so
windows longer than the present one can be judged too. A late reward is only seen when its decision is old
enough: rewards are truncated on the right, and a young log would make every window look too good. The share
that a window catches is therefore estimated in reversed time (Lagakos, Barraj and De Gruttola,
"Nonparametric analysis of truncated survival data, with application to AIDS", 1988): going down from the
longest delay d, of the rewards whose decision was at least d old and that came within d, those that came at
d are left out.
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from offline_eval.engine import literal
from offline_eval.errors import BadLog
from sidecar.contracts.errors import BadEvent, BadManifest
from sidecar.contracts.events import decode_decision
from sidecar.contracts.log_files import files_below

Floats = npt.NDArray[np.float64]

WINDOWS_S = (
    1.0, 10.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 43_200.0, 86_400.0, 259_200.0, 604_800.0,
    1_209_600.0, 2_592_000.0,
)  # fmt: skip
"""Windows that are judged, beside the present one."""
LEAST_REWARDS = 30
"""Below so many nothing is said; a delay is judged by at least as many rewards."""
PENDING_BYTES = 1600
"""What a pending decision takes in the store, about."""
_SAMPLED = 1000


class WindowShare(Struct, frozen=True, kw_only=True):
    """What one window would have caught."""

    window_s: float
    rewards: float | None
    """Share of the rewards; None: longer than anything that the log can tell."""
    value: float | None
    """Share of their value (of its absolute value, where rewards are negative)."""
    seen: str
    """``joined``: within the horizon of every decision; ``late``: known from late rewards only;
    ``beyond``."""
    pending: int
    """Decisions that would wait at a time, at the log's mean rate."""
    pending_mb: float
    """What they take in the store, about."""


class HorizonReport(Struct, frozen=True, kw_only=True):
    """What the log says about windows."""

    folder: str
    decisions: int
    rewarded: int
    """Decisions with a reward within their horizon."""
    late: int
    """Rewards that came after it."""
    several: int
    """Decisions with several rewards: their value counts at the first one's arrival."""
    left_out: dict[str, int]
    """Decisions and rewards that say nothing about delays, by reason."""
    horizon_s: float
    """Of the log's decisions, the longest."""
    reach_s: float
    """The longest delay that can be judged."""
    windows: tuple[WindowShare, ...]
    target: float
    recommended_s: float | None
    reason: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Delays:
    """Rewards, each with its delay, the age of its decision when the log ended, and its value.

    Where overload thinned the log out, ``weight`` is how many decisions a decision stands for.
    """

    delay_s: Floats
    age_s: Floats
    value: Floats
    weight: Floats


def judge(log: Path, connection: duckdb.DuckDBPyConnection, target: float = 0.95) -> HorizonReport:
    """Read the log and judge windows.

    Args:
        log: an application's log folder, such as ``data/log/shop``.
        connection: to read with.
        target: share of the rewards, and of their value, that a window must catch to be recommended.

    Raises:
        BadLog: no log there, one that cannot be read, or too few rewards.
    """
    facts = _open(log, connection)
    delays = _delays(connection)
    if len(delays.delay_s) < LEAST_REWARDS:
        raise BadLog(
            f"{log} holds {len(delays.delay_s)} rewards with a delay: too few to say anything, at least"
            f" {LEAST_REWARDS} are needed"
        )
    horizon_s = _horizon(connection)
    reach_s = reach(delays) if facts["late"] else min(reach(delays), horizon_s)
    per_s = facts["decisions"] / max(facts["span_s"], 1.0)
    windows = tuple(
        _share(edge, delays, reach_s, horizon_s, per_s) for edge in _edges(horizon_s, max(reach_s, horizon_s))
    )
    chosen, reason = _recommend(windows, target, horizon_s, reach_s)
    return HorizonReport(
        folder=str(log),
        decisions=int(facts["decisions"]),
        rewarded=int(facts["rewarded"]),
        late=int(facts["late"]),
        several=int(facts["several"]),
        left_out={name: int(facts[name]) for name in _LEFT_OUT if facts[name]},
        horizon_s=horizon_s,
        reach_s=reach_s,
        windows=windows,
        target=target,
        recommended_s=chosen,
        reason=reason,
        notes=_notes(facts, horizon_s, reach_s),
    )


def reach(delays: Delays) -> float:
    """The longest delay that enough rewards tell of: that came within it, of decisions at least that old.

    It may be longer than any delay that was seen: then it is known that none is longer.
    """
    until = np.sort(delays.age_s)
    come = np.searchsorted(np.sort(delays.delay_s), until, side="right")
    enough = until[come - np.searchsorted(until, until, side="left") >= LEAST_REWARDS]
    return float(enough[-1]) if len(enough) else 0.0


def caught(window_s: float, delays: Delays, weights: Floats, reach_s: float) -> float:
    """Share of the weights that comes within a window, of all that comes within ``reach_s``.

    >>> two = Delays(np.array([1.0, 9.0]), np.array([50.0, 50.0]), np.ones(2), np.ones(2))
    >>> caught(5.0, two, two.value, reach_s=9.0)
    0.5
    """
    within = delays.delay_s <= reach_s
    d, a, w = delays.delay_s[within], delays.age_s[within], weights[within]
    by_delay, by_age = np.argsort(d, kind="stable"), np.argsort(a, kind="stable")
    come = np.concatenate([[0.0], np.cumsum(w[by_delay])])
    young = np.concatenate([[0.0], np.cumsum(w[by_age])])
    beyond = np.unique(d[d > window_s])
    d_sorted, a_sorted = d[by_delay], a[by_age]
    until, before = (come[np.searchsorted(d_sorted, beyond, side=side)] for side in ("right", "left"))
    at_risk = until - young[np.searchsorted(a_sorted, beyond, side="left")]
    kept = np.divide(at_risk - (until - before), at_risk, out=np.ones(len(beyond)), where=at_risk > 0)
    return float(np.prod(np.clip(kept, 0.0, 1.0)))


_LEFT_OUT = ("imported", "not_activated", "reward_missing", "late_of_unknown", "over_limit", "contradicting")

_REWARDS = """
    CREATE OR REPLACE TABLE rewards AS
    WITH found AS (
        SELECT decided_at, reward_at AS came_at, reward AS value, inclusion_probability FROM earned
        WHERE reward_source_n > 0 AND isfinite(reward) AND reward_at IS NOT NULL
        UNION ALL
        SELECT decided_at, came_at, value, inclusion_probability FROM late JOIN decided USING (decision_id)
        WHERE kind IN ('L', 'P') AND isfinite(value)
    ), ended AS (
        SELECT greatest((SELECT max(finalised_at) FROM decided), (SELECT max(came_at) FROM late)) AS ended_at
    )
    SELECT greatest(epoch(came_at) - epoch(decided_at), 0) AS delay_s,
           epoch(ended_at) - epoch(decided_at) AS age_s, abs(value) AS value,
           1.0 / inclusion_probability AS weight
    FROM found, ended WHERE inclusion_probability > 0"""

_COUNTS = """
    SELECT count(*) AS decisions, count_if(reward_source_n > 0) AS rewarded,
           count_if(reward_source_n > 1) AS several,
           coalesce(epoch(max(decided_at)) - epoch(min(decided_at)), 0) AS span_s,
           (SELECT count(*) FROM logged WHERE source = 'import') AS imported,
           (SELECT count(*) FROM logged WHERE source <> 'import' AND NOT active) AS not_activated,
           count_if(reward IS NULL OR NOT isfinite(reward)) AS reward_missing
    FROM decided"""

_LATE_COUNTS = """
    SELECT count_if(kind IN ('L', 'P') AND known.decision_id IS NOT NULL) AS late,
           count_if(kind IN ('L', 'P') AND known.decision_id IS NULL) AS late_of_unknown,
           count_if(kind = 'O') AS over_limit, count_if(kind = 'X') AS contradicting
    FROM late LEFT JOIN decided known USING (decision_id)"""

_NO_LATE = "(SELECT '' AS decision_id, '' AS kind, NULL::TIMESTAMPTZ AS \"at\", 0.0 AS value WHERE false)"


def _open(log: Path, connection: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """The views ``decided``, ``earned`` (slot by slot) and ``late``, the table ``rewards``, what to count."""
    decisions = _source(log, "decisions")
    if not decisions:
        raise BadLog(f"{log} holds no decisions/**/*.parquet: name a log folder, such as data/log/shop")
    late = _source(log, "late") or _NO_LATE
    try:
        views = {
            "log_rows": f"SELECT *, {_active(connection, decisions)} AS active FROM {decisions}",
            "earned": "SELECT * FROM log_rows WHERE source <> 'import' AND active",
            "logged": "SELECT * FROM log_rows WHERE slot = 0",
            "decided": "SELECT * FROM earned WHERE slot = 0",
            "late": f'SELECT decision_id, kind, "at" AS came_at, value FROM {late}',
        }
        for name, query in views.items():
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")
        connection.execute(_REWARDS)
        (counts,), (late_counts,) = (
            connection.sql(query).to_arrow_table().to_pylist() for query in (_COUNTS, _LATE_COUNTS)
        )
    except duckdb.Error as error:
        raise BadLog(f"{log} cannot be read: {str(error).splitlines()[0]}") from error
    return {name: count or 0 for name, count in {**counts, **late_counts}.items()}


def _active(connection: duckdb.DuckDBPyConnection, decisions: str) -> str:
    """Whether a decision counts: logs of before decisions could be deferred have no column for it."""
    found = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {decisions}").fetchall()}
    return "coalesce(activated, true)" if "activated" in found else "true"


def _source(log: Path, dataset: str) -> str:
    """A dataset's files that count, as SQL; empty when there is none."""
    folder = log / dataset
    try:
        files = files_below(folder) if folder.is_dir() else []
    except BadManifest as error:
        raise BadLog(str(error)) from error
    if not files:
        return ""
    listed = "[" + ", ".join(literal(str(path)) for path in files) + "]"
    return f"read_parquet({listed}, union_by_name = true, hive_partitioning = false)"


def _delays(connection: duckdb.DuckDBPyConnection) -> Delays:
    table = connection.sql("SELECT delay_s, age_s, value, weight FROM rewards").to_arrow_table()
    delay, age, value, weight = (table[name].to_numpy().astype(np.float64) for name in table.column_names)
    return Delays(delay, np.maximum(age, delay), value, weight)


def _horizon(connection: duckdb.DuckDBPyConnection) -> float:
    """The longest horizon of the latest decisions, as they themselves say."""
    found = connection.execute(f"""
        SELECT event FROM decided ORDER BY finalised_at DESC LIMIT {_SAMPLED}""")
    horizons = []
    for (event,) in found.fetchall():
        try:
            horizons.append(decode_decision(event).horizon_ms / 1000)
        except BadEvent:
            continue
    if not horizons:
        raise BadLog("no decision of the log can be decoded, so its horizon is not known")
    return max(horizons)


def _edges(horizon_s: float, judged_s: float) -> list[float]:
    """The windows to look at: those that can be judged, and the next longer one."""
    edges = sorted({*WINDOWS_S, horizon_s})
    return [*(edge for edge in edges if edge <= judged_s), *[edge for edge in edges if edge > judged_s][:1]]


def _share(window_s: float, delays: Delays, reach_s: float, horizon_s: float, per_s: float) -> WindowShare:
    beyond = window_s > max(reach_s, horizon_s)
    pending = round(window_s * per_s)
    return WindowShare(
        window_s=window_s,
        rewards=None if beyond else caught(window_s, delays, delays.weight, reach_s),
        value=None if beyond else caught(window_s, delays, delays.value * delays.weight, reach_s),
        seen="beyond" if beyond else "joined" if window_s <= horizon_s else "late",
        pending=pending,
        pending_mb=pending * PENDING_BYTES / 1e6,
    )


def _recommend(
    windows: tuple[WindowShare, ...], target: float, horizon_s: float, reach_s: float
) -> tuple[float | None, str]:
    """The shortest window that catches enough of both, and why."""
    now = next(one for one in windows if one.window_s == horizon_s)
    now_says = f"the present {duration(horizon_s)} catch {_percent(now.rewards)} and {_percent(now.value)}"
    enough = (one for one in windows if min(one.rewards or 0.0, one.value or 0.0) >= target)
    chosen = next(enough, None)
    if chosen is None:
        return None, (
            f"no window up to {duration(reach_s)} catches {target:.0%} of the rewards and of their value, and"
            f" longer ones cannot be judged yet; {now_says}. Look again when the log is longer"
        )
    shares = f"{_percent(chosen.rewards)} of the rewards and {_percent(chosen.value)} of their value"
    if chosen.window_s == horizon_s:
        return horizon_s, f"keep it: it catches {shares}, and shorter ones less than {target:.0%}"
    shorter = chosen.window_s < horizon_s
    gain = "fresher models and fewer decisions in the store" if shorter else "fewer rewards lost"
    return chosen.window_s, (
        f"the shortest window that catches {target:.0%} of both: {shares}; {now_says}. It means {gain}"
    )


def _notes(facts: dict[str, float], horizon_s: float, reach_s: float) -> tuple[str, ...]:
    notes = [
        f"beyond the horizon of {duration(horizon_s)} rewards are known only where somebody still sent them:"
        " a client that gives up hides those that long windows would catch"
    ]
    if facts["late"]:
        notes.append(f"shares are of rewards within {duration(reach_s)}: longer delays cannot be judged")
    else:
        notes.append("no late reward was logged: nothing is known beyond the horizon")
    if facts["several"]:
        share = facts["several"] / max(facts["rewarded"], 1)
        notes.append(f"{share:.1%} of the rewarded decisions have several: all count as the first one")
    notes.append("a delay is the store's arrival less the service's decision: two clocks")
    return tuple(notes)


def duration(seconds: float) -> str:
    """A length of time as people say it.

    >>> duration(1800.0), duration(86_400.0), duration(90.5)
    ('30 min', '1 d', '90.5 s')
    """
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    if seconds >= 7200.0:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds:.3g} s" if seconds < 120.0 else f"{seconds / 60:.1f} min"


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.1%}"
