"""``reward.lua``: take a batch of rewards of one partition, each at most once."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec
from msgspec import Struct

from sidecar.contracts.ids import has_our_form, tombstone
from sidecar.contracts.keys import Keys
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.scripts.call import Call, pack, text


class RewardStatus(StrEnum):
    """What became of a reward."""

    OK = "OK"
    """Will be joined to its decision."""
    DUP = "DUP"
    """Its key was used before for this decision: the first stands; another value is kept as contradicting."""
    EARLY = "EARLY"
    """Waits for a decision that has not arrived."""
    LATE = "LATE"
    """Its decision is finalised: kept as late."""
    OVER = "OVER"
    """Its decision has as many rewards as it may: kept as over the limit."""
    UNKNOWN = "UNKNOWN"
    """Nobody to give it to: kept as orphan."""
    MOVED = "MOVED"
    """By session only: the session's target has changed; nothing was done, call again with the one named."""


LAST, ALL = "", "*"


class RewardEntry(Struct, frozen=True):
    """One reward, of ``decision_id``, or of ``session_id``.

    For the latter ``decision_id`` is the target that was found (:func:`target_of`), empty if there was none.
    """

    decision_id: str
    key: str
    """Idempotency key within the decision (or the session)."""
    tail: str
    """From ``events.encode_reward_tail``."""
    session_id: str = ""
    rule: str = LAST
    """Which of the session's decisions it reaches: ``LAST``, ``ALL``, or what :func:`by_arm` gives."""
    aim: str = ""
    """By ``ALL``: all that it reaches, of which ``decision_id`` is one; with commas between them."""


class Rewarded(NamedTuple):
    """The answer for one entry."""

    status: RewardStatus
    decision_id: str
    """The decision that it went to; of MOVED, the session's target as it is now; empty for nobody."""
    all_ids: tuple[str, ...] = ()
    """Of a reward that went to several: all of them, newest first."""


class RewardLimits(Struct, frozen=True):
    """What the script holds a reward against."""

    early_ms: int
    tombstone_ms: int
    max_per_decision: int
    max_awaited: int
    """Decisions not yet arrived that rewards may wait for; beyond it they are unknown at once."""


def limits_of(reward: RewardConfig, max_awaited: int) -> RewardLimits:
    """The limits that an application configures; ``max_awaited`` usually is ``model.max_pending``."""
    early_ms, tombstone_ms = round(reward.early_window_s * 1000), round(reward.tombstone_s * 1000)
    return RewardLimits(early_ms, tombstone_ms, reward.max_per_decision, max_awaited)


def by_arm(arm: str) -> str:
    """The rule by which a reward by session reaches the last decision that showed ``arm``."""
    return f"a:{arm}"


def target_fields(reward_key: str, rule: str = LAST) -> tuple[str, str]:
    """The fields of a session's hash that tell to which decision a reward goes; not by ``ALL``."""
    return f"w:{reward_key}", rule or "last"


def target_of(values: Sequence[bytes | None]) -> str:
    """The decision id from the values of :func:`target_fields`; empty if there is none, or foreign bytes.

    >>> target_of([None, b"0-18bcfe5680000000000000000ff"])
    '0-18bcfe5680000000000000000ff'
    >>> target_of([b"|1700000000000|1.0|0||", b"0-18bcfe5680000000000000000ff"])
    ''
    """
    went, last = values
    target = (last or b"" if went is None else went).decode("ascii", "replace")
    return target if has_our_form(target) else ""


def aimed(entry: RewardEntry, target: str) -> list[RewardEntry]:
    """A reward by session with the target that MOVED named: an entry for each decision that it reaches."""
    if entry.rule != ALL:
        return [msgspec.structs.replace(entry, decision_id=target)]
    return [msgspec.structs.replace(entry, decision_id=one, aim=target) for one in target.split(",")]


_FIRST_WORD = (
    *(RewardStatus.MOVED, RewardStatus.OK, RewardStatus.EARLY, RewardStatus.DUP, RewardStatus.LATE),
    *(RewardStatus.OVER, RewardStatus.UNKNOWN),
)


def together(answers: Sequence[Rewarded]) -> Rewarded:
    """One answer of a reward that went to several decisions: the best of theirs, and where it went.

    >>> together([Rewarded(RewardStatus.LATE, "b"), Rewarded(RewardStatus.OK, "a")])[:2]
    (<RewardStatus.OK: 'OK'>, 'a')
    """
    best = min(answers, key=lambda answer: _FIRST_WORD.index(answer.status))
    if len(answers) == 1 or best.status is RewardStatus.MOVED:
        return best
    return best._replace(all_ids=tuple([answer.decision_id for answer in answers]))


def reward_call(keys: Keys, entries: Sequence[RewardEntry], limits: RewardLimits) -> Call:
    """One call for all ``entries``, which must be of the partition of ``keys``.

    Raises:
        BadId: an entry's id is none of ours.
    """
    each = [key for entry in entries for key in _keys_of(keys, entry)]
    shared = (keys.due, keys.orphans, keys.examples, keys.late, keys.counters, keys.skew)
    args = (limits.early_ms, limits.tombstone_ms, limits.max_per_decision, limits.max_awaited)
    return Call("reward", (*shared, *each), (pack(_fields(entry) for entry in entries), *args))


def parse_reward(reply: Sequence[Sequence[bytes]]) -> list[Rewarded]:
    """One answer for each entry, in order."""
    return [Rewarded(RewardStatus(text(status)), text(decision_id)) for status, decision_id in reply]


def _keys_of(keys: Keys, entry: RewardEntry) -> tuple[str, str, str, str]:
    unused = keys.counters
    decision_id, session_id = entry.decision_id, entry.session_id
    return (
        keys.rewards(decision_id) if decision_id else unused,
        keys.session(session_id) if session_id else unused,
        keys.finalised(decision_id) if decision_id else unused,
        keys.decision(decision_id) if decision_id else unused,
    )


def _fields(entry: RewardEntry) -> tuple[str, ...]:
    member = tombstone(entry.decision_id)[1] if entry.decision_id else ""
    return entry.decision_id, entry.key, entry.tail, member, entry.session_id, entry.rule, entry.aim
