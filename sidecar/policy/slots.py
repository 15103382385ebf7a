"""Further slots of a decision: each is drawn among the arms that are left, as the first was among all.

What is left is scored as it was, and explored anew: the second slot shows the best of the others, but for
exploration. Had the first pmf only been scaled up instead, all but the best arm would have been alike there.
"""

from __future__ import annotations

import msgspec

from sidecar.contracts.events import DecisionEvent, Slot
from sidecar.contracts.slots import scored_at, seed_of_slot
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw


def with_slots(event: DecisionEvent, arms: tuple[str, ...], count: int) -> DecisionEvent:
    """The decision with ``count`` slots, or as many as there are arms.

    Args:
        event: with its first slot drawn.
        arms: the eligible ones; they are part of a decision of several slots, whatever the catalogue says.
        count: at least 1.

    Raises:
        BadEvent, PolicyError: as :func:`sidecar.policy.propensity.pmf_of_event`.
    """
    if count <= 1 or len(arms) <= 1:
        return event
    event = msgspec.structs.replace(event, arms=arms)
    left = [place for place in range(len(arms)) if place != event.arm_index]
    slots = []
    for number in range(1, min(count, len(arms))):
        pmf = pmf_of_event(scored_at(event, left))
        chosen = draw(pmf, seed_of_slot(int(event.seed), number))
        place = left.pop(chosen)
        slots.append(Slot(arms[place], place, float(pmf[chosen])))
    return msgspec.structs.replace(event, slots=tuple(slots))
