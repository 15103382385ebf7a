"""Stream entries to tables as the contract's columns describe them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from policy_learner.archive.arrow_schema import schema_of
from policy_learner.join.positions import ms_of
from policy_learner.join.source import Lesson
from policy_learner.join.streams import Entry
from policy_learner.learning.teaching import NEVER
from sidecar.contracts.application import Exploration
from sidecar.contracts.columns import (
    DEAD_COLUMNS,
    DECISION_COLUMNS,
    LATE_COLUMNS,
    LESSON_COLUMNS,
    VERSION_COLUMNS,
)
from sidecar.contracts.errors import PolicyError, SidearmError
from sidecar.contracts.events import DecisionEvent, JoinedDecision
from sidecar.contracts.ids import unit_bucket
from sidecar.contracts.joining import join
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.scripts.orphan import LateReward
from sidecar.contracts.scripts.publish import Batch
from sidecar.policy.exploration import pmf_of
from sidecar.policy.propensity import pmf_of_event

DECISIONS = schema_of(DECISION_COLUMNS)
LESSONS = schema_of(LESSON_COLUMNS)
LATE = schema_of(LATE_COLUMNS)
VERSIONS = schema_of(VERSION_COLUMNS)
DEAD = schema_of(DEAD_COLUMNS)
SCHEMAS = {"decisions": DECISIONS, "lessons": LESSONS, "late": LATE, "dead": DEAD, "versions": VERSIONS}
"""Dataset to its columns."""

_MS = 1000  # microseconds
_SCORE_BYTES = 4

LEARNT_SOURCES = ("model", "fallback", "import")


class VersionEntry(NamedTuple):
    """One entry of the version log: what a version of the weights was trained on, and what came out."""

    position: str
    version: int
    epoch: int
    examples: int
    batches: tuple[Batch, ...]
    checksum: str
    base: str = ""
    """Id of the base that ``batches`` were trained on; empty: the version before."""


def is_learnt(event: DecisionEvent) -> bool:
    """Whether a decision is trained on.

    What the rough filter answered with certainty is not: it says nothing about a choice.
    """
    return event.learn and (event.propensity < 1.0 or event.source in LEARNT_SOURCES)


def decision_table(
    joined: Sequence[JoinedDecision],
    arm_ids: Callable[[str], Sequence[str]],
    reward: RewardConfig,
    refused: Callable[[JoinedDecision], bool],
) -> pa.Table:
    """One row per decision and slot.

    Args:
        joined: finalised decisions of one partition, slot by slot.
        arm_ids: the arms of a catalogue version, in its order.
        reward: how rewards become one number.
        refused: whether the trainer refused the example, so that it was not trained on after all.
    """
    rows = [_decision_row(one, arm_ids, reward, refused) for one in joined]
    scores = [np.frombuffer(one.decision.scores, "<f4") for one in joined]
    pmfs = _pmfs([one.decision for one in joined], scores)
    lists = {
        "scores": _lists(scores, [len(s) > 0 for s in scores], pa.float32()),
        "pmf": _lists(pmfs, [len(p) > 0 for p in pmfs], pa.float64()),
    }
    plain = pa.schema([field for field in DECISIONS if field.name not in lists])
    table = _table(rows, plain)
    return pa.table(
        [lists.get(name, table[name] if name in plain.names else None) for name in DECISIONS.names],
        schema=DECISIONS,
    )


def lesson_table(lessons: Sequence[Lesson], refused: Callable[[JoinedDecision], bool]) -> pa.Table:
    """One row per lesson before the horizon.

    Args:
        lessons: of one partition.
        refused: whether the trainer refused the entry.
    """
    return _table([_lesson_row(one, refused(one.joined)) for one in lessons], LESSONS)


def late_table(late: Sequence[LateReward]) -> pa.Table:
    """One row per reward that joined nothing."""
    rows = [
        (
            one.name,
            one.kind,
            one.reward.key,
            one.reward.at_ms * _MS,
            one.reward.value,
            one.reward.event,
            one.reward.arm,
            one.partition,
            one.position,
        )
        for one in late
    ]
    return _table(rows, LATE)


def dead_table(partition: int, entries: Sequence[Entry]) -> pa.Table:
    """One row per entry that could not be learnt; whatever bytes it holds, it has its row."""
    rows = [
        (
            position,
            partition,
            ms_of(position) * _MS,
            *(fields.get(name, b"").decode(errors="replace") for name in (b"i", b"k", b"reason")),
            fields.get(b"d", b""),
            fields.get(b"r", b""),
        )
        for position, fields in entries
    ]
    return _table(rows, DEAD)


def version_table(entries: Sequence[VersionEntry]) -> pa.Table:
    """One row per published version."""
    rows = [
        (
            one.version,
            one.epoch,
            ms_of(one.position) * _MS,
            one.examples,
            [{"partition": b.partition, "first": b.first, "last": b.last} for b in one.batches],
            one.checksum,
            one.position,
            one.base or None,
            [b.shuffled for b in one.batches] if any(b.shuffled for b in one.batches) else None,
        )
        for one in entries
    ]
    return _table(rows, VERSIONS)


def version_entries(table: pa.Table) -> list[VersionEntry]:
    """What :func:`version_table` was made of."""
    return [
        VersionEntry(
            row["position"],
            row["version"],
            row["epoch"],
            row["examples"],
            _batches(row["batches"], row.get("shuffled")),
            row["checksum"],
            row.get("base") or "",  # older files have no such column
        )
        for row in table.to_pylist()
    ]


def _batches(stored: Sequence[dict[str, Any]], shuffled: Sequence[bool] | None) -> tuple[Batch, ...]:
    orders = shuffled or [False] * len(stored)
    return tuple(
        [Batch(b["partition"], b["first"], b["last"], s) for b, s in zip(stored, orders, strict=True)]
    )


def _decision_row(
    one: JoinedDecision,
    arm_ids: Callable[[str], Sequence[str]],
    config: RewardConfig,
    refused: Callable[[JoinedDecision], bool],
) -> tuple[object, ...]:
    """The columns in their order, but ``scores`` and ``pmf``."""
    event, reward = one.decision, join(one.rewards, config)
    arms = event.arms or arm_ids(event.catalogue)
    return (
        event.decision_id,
        one.slot,
        event.session_id,
        event.unit_id,
        unit_bucket(event.unit_id),
        event.decided_at_ms * _MS,
        ms_of(one.position) * _MS,
        one.partition,
        one.position,
        event.source,
        event.policy,
        event.model_version,
        event.catalogue,
        event.arm,
        event.arm_index,
        len(event.scores) // _SCORE_BYTES or len(arms),
        event.propensity,
        event.propensity_mc_n or None,
        event.source == "pre_policy" or event.propensity >= 1.0,
        one.kind != NEVER and is_learnt(event) and not refused(one),
        reward.value if math.isfinite(reward.value) else None,
        reward.count,
        None if reward.first_at_ms is None else reward.first_at_ms * _MS,
        event.inclusion_probability,
        arms,
        msgspec.json.encode(event.context).decode(),
        one.payload,
        one.mode,
        one.kind != NEVER,
        event.expected,
        event.rank,
        event.segment or None,
    )


def _lesson_row(lesson: Lesson, refused: bool) -> tuple[object, ...]:
    (_, fields), one, (event, reward, _) = lesson
    return (
        event.decision_id,
        one.kind,
        event.session_id,
        event.unit_id,
        unit_bucket(event.unit_id),
        event.decided_at_ms * _MS,
        ms_of(one.position) * _MS,
        one.partition,
        one.position,
        is_learnt(event) and not refused,
        reward if math.isfinite(reward) else None,
        len(one.rewards),
        one.key,
        fields.get(b"r", b""),
        one.payload,
        one.slot,
    )


def _pmfs(events: Sequence[DecisionEvent], scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The probabilities of each decision; those that explored alike at once, to the same bits."""
    alike: dict[tuple[Exploration, int], list[int]] = {}
    mixed = [place for place, event in enumerate(events) if event.candidates]
    for place, (event, own) in enumerate(zip(events, scores, strict=True)):
        if not event.candidates:
            alike.setdefault((event.exploration, len(own)), []).append(place)
    found: list[np.ndarray] = [np.empty(0)] * len(events)
    for place in mixed:
        found[place] = _mixture(events[place])
    for (exploration, size), places in alike.items():
        if size:
            for place, pmf in zip(places, _pmf_rows([scores[p] for p in places], exploration), strict=True):
                found[place] = pmf
    return found


def _pmf_rows(scores: Sequence[np.ndarray], exploration: Exploration) -> list[np.ndarray]:
    """All at once, or one by one where one of them has none."""
    try:
        return list(pmf_of(np.stack(scores), exploration))
    except PolicyError:
        return [_pmf(one, exploration) for one in scores]


def _pmf(scores: np.ndarray, exploration: Exploration) -> np.ndarray:
    """The probabilities, where they are known."""
    try:
        return pmf_of(scores, exploration)
    except PolicyError:
        return np.empty(0)


def _mixture(event: DecisionEvent) -> np.ndarray:
    """The probabilities where several models could have been official, if they are known."""
    try:
        return pmf_of_event(event)
    except SidearmError:
        return np.empty(0)


def _lists(arrays: Sequence[np.ndarray], known: Sequence[bool], kind: pa.DataType) -> pa.Array:
    """A list column from one array a row, null where not ``known``; built whole, not value by value."""
    offsets = np.zeros(len(arrays) + 1, np.int32)
    np.cumsum([len(a) for a in arrays], out=offsets[1:])
    values = np.concatenate(arrays) if arrays else np.empty(0)
    mask = pa.array([not k for k in known], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, kind), mask=mask)


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
