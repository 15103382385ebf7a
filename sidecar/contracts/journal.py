"""Conversations with the store on the request path: a script and a read or two around it.

A caller whose reply was lost may have every one of them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import cast

import msgspec
from msgspec import Struct

from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import RewardRecord, decode_decision, decode_reward
from sidecar.contracts.keys import Keys
from sidecar.contracts.line import Heard, Said
from sidecar.contracts.reward_section import RewardMode
from sidecar.contracts.scripts.activate import Activated, ActivateEntry, activate_call, parse_activate
from sidecar.contracts.scripts.call import Call, text
from sidecar.contracts.scripts.decide import (
    Decided,
    DecideEntry,
    DecideStatus,
    decide_call,
    parse_decide,
    split_stored,
)
from sidecar.contracts.scripts.reward import (
    ALL,
    Rewarded,
    RewardEntry,
    RewardLimits,
    RewardStatus,
    aimed,
    parse_reward,
    reward_call,
    target_fields,
    target_of,
    together,
)
from sidecar.contracts.store import AsyncScripts, StoreError

_MOST_REWARDS = 1_024
"""In one call of the script: some ten milliseconds of the store."""
_MOVES = 5
"""How often a session's target may change under a reward before its caller is told so: each time, the session
was given another decision within one round trip."""
_STANDING = (DecideStatus.DUP, DecideStatus.FIN)


async def decide(
    scripts: AsyncScripts,
    keys: Keys,
    entries: Sequence[DecideEntry],
    *,
    max_pending: int,
    tombstone_ms: int,
) -> list[Decided]:
    """Log decisions of one partition; DUP and FIN carry the stored decision, while it is kept.

    One round trip; a second one only when a client's own key led to an earlier decision.
    """
    call = decide_call(keys, entries, max_pending=max_pending, tombstone_ms=tombstone_ms)
    return await _with_payloads(scripts, keys, parse_decide(await scripts.run(call)))


ByPartition = Sequence[tuple[Keys, Sequence[DecideEntry]]]
"""Decisions to be logged, those of a partition together."""


async def decide_all(
    scripts: AsyncScripts,
    by_partition: ByPartition,
    *,
    max_pending: int,
    tombstone_ms: int,
    said: Said | None = None,
) -> list[list[Decided] | StoreError]:
    """Decisions of several partitions in one round trip; an error of one is no matter of the others.

    Args:
        scripts: on the store.
        by_partition: the decisions.
        max_pending: how many of a partition may be.
        tombstone_ms: how long they are remembered.
        said: what the store has said to :func:`ask_decide_all`, if it was asked already.
    """
    if isinstance(said, BaseException):
        raise said
    calls = _decide_calls(by_partition, max_pending, tombstone_ms)
    replies = await (scripts.run_all(calls) if said is None else scripts.retold(calls, said))
    told = [reply if isinstance(reply, StoreError) else parse_decide(reply) for reply in replies]
    for place, answers in enumerate(told):
        if not isinstance(answers, StoreError) and any(map(_lacks_payload, answers)):
            told[place] = await _with_payloads(scripts, by_partition[place][0], answers)
    return told


def ask_decide_all(
    scripts: AsyncScripts, by_partition: ByPartition, heard: Heard, max_pending: int, tombstone_ms: int
) -> None:
    """Begins the same without a task: ``heard`` is told what the store says, and must not raise.

    Mostly :func:`all_logged` has the answers in it; where not, :func:`decide_all` goes on from there.
    """
    scripts.ask_all(_decide_calls(by_partition, max_pending, tombstone_ms), heard)


def all_logged(said: Said) -> list[list[Decided]] | None:
    """The answers, where the store has logged every decision just now; None: there is more to it."""
    if isinstance(said, BaseException):
        return None
    replies = cast("list[list[bytes]]", said)
    if any(type(reply) is not list or {*map(type, reply)} != {bytes} for reply in replies):
        return None
    return [parse_decide(reply) for reply in replies]


def _decide_calls(by_partition: ByPartition, max_pending: int, tombstone_ms: int) -> list[Call]:
    return [
        decide_call(keys, entries, max_pending=max_pending, tombstone_ms=tombstone_ms)
        for keys, entries in by_partition
    ]


async def _with_payloads(scripts: AsyncScripts, keys: Keys, answers: list[Decided]) -> list[Decided]:
    bare = {answer.decision_id for answer in answers if _lacks_payload(answer)}
    if not bare:
        return answers
    found = await scripts.client.mget([keys.decision(decision_id) for decision_id in bare])
    stored = dict(zip(bare, cast("list[bytes | None]", found), strict=True))
    return [_filled(a, stored[a.decision_id]) if _lacks_payload(a) else a for a in answers]


async def reward(
    scripts: AsyncScripts, keys: Keys, entries: Sequence[RewardEntry], limits: RewardLimits
) -> list[Rewarded]:
    """Take rewards of one partition. Those by session (no decision id yet) are resolved by their rule.

    MOVED is answered only if a session kept on deciding for as long as this tried.
    """
    entries = await _resolved(scripts, keys, entries)
    answers = await _taken(scripts, keys, [(entry,) for entry in entries], limits)
    for _ in range(_MOVES):
        moved = [place for place, answer in enumerate(answers) if answer.status is RewardStatus.MOVED]
        if not moved:
            break
        again = [aimed(entries[place], answers[place].decision_id) for place in moved]
        for place, answer in zip(moved, await _taken(scripts, keys, again, limits), strict=True):
            answers[place] = answer
    return answers


async def _taken(
    scripts: AsyncScripts, keys: Keys, groups: Sequence[Sequence[RewardEntry]], limits: RewardLimits
) -> list[Rewarded]:
    """One answer for each group: the entries of one reward. No call is longer than the store can bear."""
    entries = [entry for group in groups for entry in group]
    answers: list[Rewarded] = []
    for start in range(0, len(entries), _MOST_REWARDS):
        call = reward_call(keys, entries[start : start + _MOST_REWARDS], limits)
        answers += parse_reward(await scripts.run(call))
    left = iter(answers)
    return [together([next(left) for _ in group]) for group in groups]


async def activate(
    scripts: AsyncScripts, keys: Keys, wanted: Sequence[tuple[str, int | None]], *, tombstone_ms: int
) -> list[Activated]:
    """Activate decisions of one partition: id, and the horizon that begins now (None: its end stays).

    One round trip; a second one to know the sessions of those whose end moves.
    """
    moved = [decision_id for decision_id, horizon_ms in wanted if horizon_ms is not None]
    found = await scripts.client.mget([keys.decision(i) for i in moved]) if moved else []
    sessions = dict(zip(moved, map(_session_of, cast("list[bytes | None]", found)), strict=True))
    entries = [ActivateEntry(i, sessions.get(i, ""), horizon_ms) for i, horizon_ms in wanted]
    return parse_activate(await scripts.run(activate_call(keys, entries, tombstone_ms=tombstone_ms)))


def _session_of(stored: bytes | None) -> str:
    """The session of a stored decision; empty for what is none."""
    try:
        return decode_decision(split_stored(stored or b"").payload).session_id
    except BadEvent:
        return ""


async def decisions_of_client_keys(
    scripts: AsyncScripts, keys: Keys, named: Sequence[tuple[str, str]]
) -> list[str]:
    """Our ids of the decisions that clients call by (session, key of their own), in one round trip.

    Empty where the session has none such.
    """
    pipe = scripts.client.pipeline(transaction=False)
    for session_id, client_key in named:
        pipe.hget(keys.session(session_id), f"k:{client_key}")
    return [text(stored or b"").partition("|")[0] for stored in await pipe.execute()]


async def decisions_with_keys(scripts: AsyncScripts, keys: Keys, session_id: str) -> list[str]:
    """Our ids of all decisions of a session that its client calls by keys of its own."""
    found = await scripts.client.hgetall(keys.session(session_id))
    stored = cast("dict[bytes, bytes]", found)
    return [text(value).partition("|")[0] for field, value in stored.items() if field.startswith(b"k:")]


class StoredDecision(Struct, frozen=True):
    """A decision as the store still has it."""

    payload: bytes
    deadline_ms: int
    pending: bool
    """Its horizon has not been closed: rewards still join it."""
    rewards: tuple[RewardRecord, ...]
    """Joined, or to be joined."""
    late_rewards: tuple[RewardRecord, ...]
    """Came after it was finalised."""
    deferred: bool = False
    """It was to be activated, and has not been."""
    mode: RewardMode = "wait"


async def read_decision(scripts: AsyncScripts, keys: Keys, decision_id: str) -> StoredDecision | None:
    """What is known of a decision at one moment; None when it was never there or is no longer kept."""
    return (await read_decisions(scripts, keys, [decision_id]))[0]


async def read_decisions(
    scripts: AsyncScripts, keys: Keys, decision_ids: Sequence[str]
) -> list[StoredDecision | None]:
    """The same for many of one partition, in one round trip."""
    pipe = scripts.client.pipeline(transaction=True)
    for decision_id in decision_ids:
        pipe.get(keys.decision(decision_id))
        pipe.hgetall(keys.rewards(decision_id))
        pipe.zscore(keys.due, decision_id)
    replies = await pipe.execute()
    return [_stored(*replies[at : at + 3]) for at in range(0, len(replies), 3)]


def _stored(
    stored: bytes | None, rewards: Mapping[bytes, bytes], score: float | None
) -> StoredDecision | None:
    """Foreign bytes are no decision and no reward: who looked up another one must not suffer from them."""
    try:
        known = split_stored(stored or b"")
    except BadEvent:
        return None
    texts = [
        (key.decode(errors="replace"), record.decode(errors="replace")) for key, record in rewards.items()
    ]
    joined = _in_order([(key, record) for key, record in texts if not record.startswith("L")])
    late = _in_order([(key, record[1:]) for key, record in texts if record.startswith("L")])
    return StoredDecision(
        known.payload, known.deadline_ms, score is not None, joined, late, known.deferred, known.mode
    )


def _lacks_payload(answer: Decided) -> bool:
    return answer.payload is None and answer.status in _STANDING


def _filled(answer: Decided, stored: bytes | None) -> Decided:
    try:
        known = split_stored(stored or b"")
    except BadEvent:
        return answer
    return answer._replace(deadline_ms=known.deadline_ms, payload=known.payload)


def _aimed(entry: RewardEntry, decision_id: str) -> RewardEntry:
    return msgspec.structs.replace(entry, decision_id=decision_id)


async def _resolved(
    scripts: AsyncScripts, keys: Keys, entries: Sequence[RewardEntry]
) -> Sequence[RewardEntry]:
    """Entries by session with the target that the session has now, all looked up in one round trip."""
    pipe = scripts.client.pipeline(transaction=False)
    for entry in entries:
        if _has_one(entry):
            pipe.hmget(keys.session(entry.session_id), target_fields(entry.key, entry.rule))
    found = iter(await pipe.execute() if len(pipe) else ())
    return [_aimed(entry, target_of(next(found))) if _has_one(entry) else entry for entry in entries]


def _has_one(entry: RewardEntry) -> bool:
    """It goes by session to one decision. Which ones all of a session's are, only the script can say."""
    return bool(entry.session_id) and entry.rule != ALL


def _in_order(texts: Sequence[tuple[str, str]]) -> tuple[RewardRecord, ...]:
    records = []
    for key, stored in texts:
        with suppress(BadEvent):
            records.append(decode_reward(key, stored))
    return tuple(sorted(records, key=lambda record: (record.at_ms, record.key)))
