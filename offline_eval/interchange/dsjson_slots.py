"""A decision of several slots as one line of VW's DSJSON: an outcome for each slot, actions counted from 0.

What a line says of all its slots stands in it once: the context, the actions, and the share of such lines
that were dropped. So probabilities are those of each slot alone, and ``pdrop`` is not in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sidecar.contracts.events import DecisionEvent


class SlotRow(NamedTuple):
    """A row of the log that counts."""

    event: DecisionEvent
    row: Mapping[str, Any]


def first_slots(rows: Sequence[SlotRow], counts: Counter[str]) -> list[SlotRow]:
    """The slots of a decision that a line can hold, up to the first that lacks; others are counted.

    >>> known = {"pmf": [1.0], "inclusion_probability": 1.0}
    >>> rows = [SlotRow(None, {"slot": slot, **known}) for slot in (1, 0, 3)]
    >>> counts = Counter()
    >>> len(first_slots(rows, counts)), dict(counts)
    (2, {'slot_before_missing': 1})
    """
    found: list[SlotRow] = []
    for one in sorted(rows, key=lambda one: int(one.row["slot"])):
        if why := _why_not(one.row, found):
            counts[why] += 1
        else:
            found.append(one)
    return found


def _why_not(row: Mapping[str, Any], before: Sequence[SlotRow]) -> str:
    """Why a slot cannot stand behind those in one line; empty: it can."""
    if row["pmf"] is None:
        return "pmf_not_known"
    if row["slot"] != len(before):
        return "slot_before_missing"
    kept = row["inclusion_probability"]
    return (
        "kept_with_another_probability" if before and before[0].row["inclusion_probability"] != kept else ""
    )


def outcomes(rows: Sequence[SlotRow], arms: Sequence[str]) -> list[Mapping[str, object]]:
    """What became of every slot; ``arms`` are those of the line."""
    places = {name: place for place, name in enumerate(arms)}
    return [_outcome(one, places) for one in rows]


def _outcome(one: SlotRow, places: Mapping[str, int]) -> Mapping[str, object]:
    row, name = one.row, slot_name(one)
    ranked = ranking(row)
    cost = -row["reward"] if row["reward"] else 0.0
    observed = {"v": row["reward"], "EventId": one.event.decision_id, "Index": name, "ActionTaken": False}
    return {
        "_label_cost": cost, "_id": name, "_a": [places[row["arms"][arm]] for arm in ranked],
        "_p": [row["propensity"], *(row["pmf"][arm] for arm in ranked[1:])],
        "_o": [observed] if row["reward_source_n"] else [], "_original_label_cost": cost,
    }  # fmt: skip


def slots(rows: Sequence[SlotRow], arms: Sequence[str]) -> list[Mapping[str, object]]:
    """The slots as VW knows them; one that could not show all arms that were left names those it could."""
    found: list[Mapping[str, object]] = []
    left = list(arms)
    for one in rows:
        whole = set(one.row["arms"]) == set(left)
        could = [place for place, name in enumerate(arms) if name in one.row["arms"]]
        found.append({"_id": slot_name(one), **({} if whole else {"_inc": could})})
        left.remove(one.row["arms"][one.row["arm_index"]])
    return found


def slot_name(one: SlotRow) -> str:
    """Slots have no names of their own here."""
    return f"slot-{one.row['slot']}"


def ranking(row: Mapping[str, Any]) -> list[int]:
    """Places of the eligible arms: the shown one, then the others, likeliest first."""
    chosen, pmf = row["arm_index"], row["pmf"]
    return [chosen, *sorted((one for one in range(len(pmf)) if one != chosen), key=lambda one: -pmf[one])]
