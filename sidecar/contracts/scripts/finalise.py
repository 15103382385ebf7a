"""``finalise.lua``: decisions whose horizon has ended become examples. Also how an example is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

import msgpack

from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import (
    MODES,
    DecisionEvent,
    ExampleKind,
    JoinedDecision,
    RewardRecord,
    decode_decision,
    decode_reward,
)
from sidecar.contracts.keys import ANSWER_RETENTION_MS, Keys, answer_ttl_ms
from sidecar.contracts.scripts.call import Call, text

BATCH = 64
"""Decisions a call: a script stops the store for everybody, 64 for some milliseconds."""

_KIND_OF: Mapping[bytes, ExampleKind] = {kind.encode(): kind for kind in get_args(ExampleKind)}
_INT8, _INT32, _INT64 = 2**7 - 1, 2**31 - 1, 2**63 - 1
_END_OF_TIME_MS = 253_402_300_800_000  # the year 10,000
_SCORE_BYTES = 4
_MODE_OF_KIND = {"A": "a", "C": "a", "E": "e"}


def finalise_call(
    keys: Keys, ids: Sequence[str], *, tombstone_ms: int, retention_ms: int = ANSWER_RETENTION_MS
) -> Call:
    """One call for ``ids``, which should be due; those that are not (any more) are passed over.

    Raises:
        BadId: one of the ids is none of ours.
    """
    shared = (keys.due, keys.orphans, keys.examples, keys.counters, keys.skew)
    each: list[str] = []
    args: list[str] = []
    for decision_id in ids:
        *three, member = keys.closing(decision_id)
        each += three
        args += (decision_id, member)
    times = (tombstone_ms, answer_ttl_ms(tombstone_ms, retention_ms))
    return Call("finalise", (*shared, *each), (*times, *args))


def decode_example(
    partition: int,
    stream_id: bytes | str,
    fields: Mapping[bytes, bytes],
    decode: Callable[[bytes], DecisionEvent] = decode_decision,
) -> JoinedDecision:
    """An entry of the example stream, its rewards in the order (time of arrival, key).

    Args:
        partition: of the stream.
        stream_id: position of the entry.
        fields: of the entry.
        decode: the decision itself; ``decode_logged`` where there are many.

    Raises:
        BadEvent: the entry is of an unknown kind, or what it holds is not what it should be.
    """
    position, kind, payload = text(stream_id), _KIND_OF.get(fields.get(b"k", b"")), fields.get(b"d")
    if kind is None or payload is None:
        found = f"is of kind {fields.get(b'k')!r}, or holds no decision"
        raise BadEvent(f"{_where(partition, position)} {found}")
    mode = _MODE_OF_KIND.get(kind) or _name(fields.get(b"m")) or "w"
    if mode not in MODES:
        raise BadEvent(f"{_where(partition, position)} is of mode {mode!r}; known are {', '.join(MODES)}")
    rewards, corrects = decode_rewards(fields.get(b"r", b"")), ""
    if kind == "C" or kind == "E":
        corrects = _name(fields.get(b"n")) if kind == "C" else ""
        _check_rewards(kind, corrects, rewards, _where(partition, position))
    decision = decode(payload)
    if not _has_a_row(decision):
        raise BadEvent(f"{_where(partition, position)} holds a number that no column holds, or torn scores")
    return JoinedDecision(partition, position, decision, rewards, payload, kind, mode, corrects)


def _has_a_row(decision: DecisionEvent) -> bool:
    """Whether the log can hold it: what is learnt and has no row could never be learnt again."""
    return (
        0 <= decision.decided_at_ms < _END_OF_TIME_MS
        and abs(decision.model_version) <= _INT64
        and abs(decision.arm_index) <= _INT32
        and abs(decision.propensity_mc_n) <= _INT32
        and len(decision.scores) % _SCORE_BYTES == 0
        and len(decision.slots) <= _INT8
    )


def _where(partition: int, position: str) -> str:
    return f"entry {position} of partition {partition}"


def _name(field: bytes | None) -> str:
    return field.decode(errors="replace") if field else ""


def _check_rewards(kind: str, key: str, rewards: Sequence[RewardRecord], where: str) -> None:
    if kind == "C" and key not in {record.key for record in rewards}:
        raise BadEvent(f"{where} corrects by reward {key[:64]!r}, which is not among its rewards")
    if kind == "E" and not rewards:
        raise BadEvent(f"{where} is an early example without a reward")


def decode_rewards(packed: bytes) -> tuple[RewardRecord, ...]:
    """Rewards from the flat list ``[key, record, …]`` of an example, in the order (time of arrival, key).

    Raises:
        BadEvent: not such a list.
    """
    if not packed:
        return ()
    try:
        flat: list[str] = msgpack.unpackb(packed, raw=False)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        records = [decode_reward(key, record) for key, record in pairs]
        return tuple(sorted(records, key=lambda record: (record.at_ms, record.key)))
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise BadEvent(f"{len(packed)} bytes are no list of rewards: {error}") from error
