"""A decision of several slots, slot by slot: each is a decision of its own among the arms that are left.

The first slot is the decision as it is stored. Every further one is what would be stored, had only the arms
been eligible that stand in no slot before it: fewer arms, their scores, the arm of the slot with its
probability given the slots before, and a seed of its own. So whoever learns from decisions, scores them again
or evaluates them needs to know nothing of slots.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from sidecar.contracts.arm_features import Column, Levels
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import (
    Candidate,
    DecisionEvent,
    JoinedDecision,
    RewardRecord,
    Shadow,
    encode_decision,
)

_GOLDEN = 0x9E37_79B9_7F4A_7C15
_FULL = 0xFFFF_FFFF_FFFF_FFFF
_SCORE_BYTES = 4
IN_EARLIER_SLOT = "stands in an earlier slot"


def seed_of_slot(seed: int, slot: int) -> int:
    """The seed of one slot of a decision; of the first it is the decision's own.

    Source: the finaliser of SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, "Fast Splittable Pseudorandom
    Number Generators", 2014): neighbouring inputs come out unrelated.

    >>> seed_of_slot(7, 0), seed_of_slot(7, 1)
    (7, 7191089600892374487)
    """
    if slot == 0:
        return seed
    mixed = (seed + slot * _GOLDEN) & _FULL
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58_476D_1CE4_E5B9) & _FULL
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D0_49BB_1331_11EB) & _FULL
    return mixed ^ (mixed >> 31)


def scored_at(event: DecisionEvent, places: Sequence[int]) -> DecisionEvent:
    """The decision with the scores of some of its arms only, those at ``places``: all that a pmf needs.

    Raises:
        BadEvent: a model scored other arms than there are.
    """
    chosen, n_arms = np.array(places, np.intp), len(event.arms)

    def taken(scores: bytes) -> bytes:
        if len(scores) != _SCORE_BYTES * n_arms:
            raise BadEvent(f"{event.decision_id} has {n_arms} arms and {len(scores)} bytes of scores")
        return np.frombuffer(scores, "<f4").take(chosen).tobytes()

    candidates: tuple[Candidate, ...] = tuple(
        [msgspec.structs.replace(one, scores=taken(one.scores)) for one in event.candidates]
    )
    return msgspec.structs.replace(event, scores=taken(event.scores), candidates=candidates)


def slot_event(event: DecisionEvent, slot: int) -> DecisionEvent:
    """One slot of a decision as a decision of its own; the first slot is the decision itself.

    Raises:
        BadEvent: its slots are not arms of it, each once, or what is known of its arms is not of all of them.
    """
    if slot == 0:
        return event
    _check(event)
    this, before = event.slots[slot - 1], [event.arm_index, *(one.arm_index for one in event.slots)][:slot]
    left = [place for place in range(len(event.arms)) if place not in set(before)]
    arms = tuple([event.arms[place] for place in left])
    scored = scored_at(event, left)
    return msgspec.structs.replace(
        scored,
        arms=arms,
        given_arms={arm: given for arm, given in event.given_arms.items() if arm in set(arms)},
        arm_features={name: _column_at(column, left, event) for name, column in event.arm_features.items()},
        arm_outcomes={name: _levels_at(levels, left, event) for name, levels in event.arm_outcomes.items()},
        shadows=tuple([_shadow_at(shadow, left, event) for shadow in event.shadows]),
        excluded=event.excluded | {event.arms[place]: IN_EARLIER_SLOT for place in before},
        arm=this.arm,
        arm_index=left.index(this.arm_index),
        propensity=this.propensity,
        seed=str(seed_of_slot(int(event.seed), slot)),
        expected=None,
        rank=None,
        slots=(),
    )


def slots_of(joined: JoinedDecision) -> tuple[JoinedDecision, ...]:
    """An entry of the example stream, slot by slot, each with the rewards that are its own.

    Of a correction only the slot that it corrects: to the others nothing has happened.

    Raises:
        BadEvent: as :func:`slot_event`.
    """
    event = joined.decision
    if not event.slots:
        return (joined,)
    arms = (event.arm, *(slot.arm for slot in event.slots))
    parts = tuple([_part(joined, slot, arms) for slot in range(len(arms))])
    if joined.kind != "C":
        return parts
    return tuple([part for part in parts if any(record.key == joined.key for record in part.rewards)])


def rewards_of_slot(
    rewards: Sequence[RewardRecord], arms: Sequence[str], slot: int
) -> tuple[RewardRecord, ...]:
    """Those rewards of a decision that are of one slot: that of the arm they name, else the first.

    >>> named = [RewardRecord("k", 1, 1.0, 0, arm="b"), RewardRecord("l", 1, 1.0, 0, arm="?")]
    >>> [[one.key for one in rewards_of_slot(named, ("a", "b"), slot)] for slot in (0, 1)]
    [['l'], ['k']]
    """
    if slot:
        return tuple([record for record in rewards if record.arm == arms[slot]])
    others = set(arms[1:])
    return tuple([record for record in rewards if record.arm not in others])


def _part(joined: JoinedDecision, slot: int, arms: Sequence[str]) -> JoinedDecision:
    rewards = rewards_of_slot(joined.rewards, arms, slot)
    if slot == 0:
        return msgspec.structs.replace(joined, rewards=rewards)
    event = slot_event(joined.decision, slot)
    return msgspec.structs.replace(
        joined, decision=event, rewards=rewards, payload=encode_decision(event), slot=slot
    )


def _check(event: DecisionEvent) -> None:
    places = [event.arm_index, *(slot.arm_index for slot in event.slots)]
    named = [event.arm, *(slot.arm for slot in event.slots)]
    legal = range(len(event.arms))
    if len(set(places)) < len(places) or any(
        place not in legal or event.arms[place] != arm for place, arm in zip(places, named, strict=True)
    ):
        raise BadEvent(f"{event.decision_id} has slots that are not its arms, each once")


def _shadow_at(shadow: Shadow, places: Sequence[int], event: DecisionEvent) -> Shadow:
    return msgspec.structs.replace(shadow, scores=_bytes_at(shadow.scores, places, event))


def _column_at(column: Column, places: Sequence[int], event: DecisionEvent) -> Column:
    if isinstance(column, Levels):
        return _levels_at(column, places, event)
    return _bytes_at(column, places, event)


def _levels_at(column: Levels, places: Sequence[int], event: DecisionEvent) -> Levels:
    return Levels(column.levels, _bytes_at(column.codes, places, event))


def _bytes_at(data: bytes, places: Sequence[int], event: DecisionEvent) -> bytes:
    """Some of as many equally long parts as there are arms."""
    width, rest = divmod(len(data), len(event.arms))
    if rest:
        raise BadEvent(f"{event.decision_id} has {len(event.arms)} arms and a column of {len(data)} bytes")
    return b"".join([data[width * place : width * (place + 1)] for place in places])
