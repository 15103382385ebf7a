"""Stream entries to tables as the contract's columns describe them."""

from __future__ import annotations

import contextlib
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
from sidecar.contracts.events import DecisionEvent, JoinedDecision, features_of
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
_json = msgspec.json.Encoder().encode
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
    columns = _decision_columns(joined, arm_ids, reward, refused) | _lists_of(
        [one.decision for one in joined]
    )
    return pa.table([columns[name] for name in DECISIONS.names], schema=DECISIONS)


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


def _decision_columns(
    joined: Sequence[JoinedDecision],
    arm_ids: Callable[[str], Sequence[str]],
    config: RewardConfig,
    refused: Callable[[JoinedDecision], bool],
) -> dict[str, pa.Array]:
    """All but ``scores`` and ``pmf``. Column by column: a row of thirty values is twice as dear."""
    events = [one.decision for one in joined]
    nothing = join((), config)
    rewards = [join(one.rewards, config) if one.rewards else nothing for one in joined]
    arms = [event.arms or arm_ids(event.catalogue) for event in events]
    activated = [one.kind != NEVER for one in joined]
    values: dict[str, Sequence[object]] = {
        "decision_id": [event.decision_id for event in events],
        "slot": [one.slot for one in joined],
        "session_id": [event.session_id for event in events],
        "unit_id": [event.unit_id for event in events],
        "unit_bucket": [unit_bucket(event.unit_id) for event in events],
        "decided_at": [event.decided_at_ms * _MS for event in events],
        "finalised_at": [ms_of(one.position) * _MS for one in joined],
        "partition": [one.partition for one in joined],
        "position": [one.position for one in joined],
        "source": [event.source for event in events],
        "policy": [event.policy for event in events],
        "model_version": [event.model_version for event in events],
        "catalogue": [event.catalogue for event in events],
        "arm": [event.arm for event in events],
        "arm_index": [event.arm_index for event in events],
        "n_arms": [len(e.scores) // _SCORE_BYTES or len(own) for e, own in zip(events, arms, strict=True)],
        "propensity": [event.propensity for event in events],
        "propensity_mc_n": [event.propensity_mc_n or None for event in events],
        "deterministic": [event.source == "pre_policy" or event.propensity >= 1.0 for event in events],
        "learn": [
            active and is_learnt(one.decision) and not refused(one)
            for one, active in zip(joined, activated, strict=True)
        ],
        "reward": [reward.value if math.isfinite(reward.value) else None for reward in rewards],
        "reward_source_n": [reward.count for reward in rewards],
        "reward_at": [None if at is None else at * _MS for _, _, at in rewards],
        "inclusion_probability": [event.inclusion_probability for event in events],
        "context": [_json(features_of(event)).decode() for event in events],
        "event": [one.payload for one in joined],
        "mode": [one.mode for one in joined],
        "activated": activated,
        "expected": [event.expected for event in events],
        "rank": [event.rank for event in events],
        "segment": [event.segment or None for event in events],
    }
    return {name: pa.array(column, DECISIONS.field(name).type) for name, column in values.items()} | {
        "arms": _arm_lists(arms)
    }


def _arm_lists(arms: Sequence[Sequence[str]]) -> pa.Array:
    """The column ``arms``; where all have a catalogue's, as nearly ever, it is written out once."""
    kind = DECISIONS.field("arms").type
    if not arms or any(own is not arms[0] for own in arms):
        return pa.array(arms, kind)
    once, width = pa.array(arms[0], kind.value_type), len(arms[0])
    offsets = np.arange(len(arms) + 1, dtype=np.int32) * np.int32(width)
    return pa.ListArray.from_arrays(pa.array(offsets), once.take(np.tile(np.arange(width), len(arms))))


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


def _lists_of(events: Sequence[DecisionEvent]) -> dict[str, pa.Array]:
    """The columns ``scores`` and ``pmf``; all at once where all decisions are of one kind, as nearly ever."""
    sizes = {len(event.scores) for event in events}
    if len(sizes) == 1 and 0 not in sizes and not any(event.candidates for event in events):
        first = events[0].exploration
        if all(event.exploration == first for event in events):
            scores = np.frombuffer(b"".join([event.scores for event in events]), "<f4")
            with contextlib.suppress(PolicyError):
                rows = scores.reshape(len(events), -1)
                return {
                    "scores": _even_lists(rows, pa.float32()),
                    "pmf": _even_lists(pmf_of(rows, first), pa.float64()),
                }
    return _uneven_lists(events)


def _uneven_lists(events: Sequence[DecisionEvent]) -> dict[str, pa.Array]:
    scores = [np.frombuffer(event.scores, "<f4") for event in events]
    pmfs = _pmfs(events, scores)
    return {
        "scores": _lists(scores, [len(s) > 0 for s in scores], pa.float32()),
        "pmf": _lists(pmfs, [len(p) > 0 for p in pmfs], pa.float64()),
    }


def _even_lists(rows: np.ndarray, kind: pa.DataType) -> pa.Array:
    """A list column of lists of one length, none of them null."""
    n_rows, width = rows.shape
    offsets = np.arange(0, (n_rows + 1) * width, width, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.reshape(-1), kind))


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
