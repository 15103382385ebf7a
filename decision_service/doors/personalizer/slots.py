"""The slots of a multi-slot rank: checked, and filled so that none is left empty."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct

from decision_service.doors.personalizer.features import flat
from decision_service.doors.personalizer.refusals import Refused
from decision_service.doors.personalizer.requests import Slot, checked_id
from sidecar.contracts.application import Features

_RANK = "InvalidRankRequest"


class Place(Struct, frozen=True):
    """A slot that was checked."""

    id: str
    features: Features
    allowed: frozenset[str]
    """The actions that may stand there."""


def places_of(slots: Sequence[Slot | None], actions: Collection[str]) -> list[Place]:
    """The slots, in their order.

    Raises:
        Refused: as Personalizer does; or no page can be made of these actions.
    """
    if not slots:
        raise Refused(_RANK, "At lease one slot must be defined in a multi-slot rank request.", "slots")
    if len(slots) > len(actions):
        raise Refused(_RANK, "Slots count should be between 1 and the number of actions", "slots")
    places = [_place(slot, f"slots[{number}]", actions) for number, slot in enumerate(slots)]
    if len({place.id for place in places}) < len(places):
        raise Refused(_RANK, "All slot's must contain unique, non empty ID", "slots")
    if len({slot.baseline_action for slot in slots if slot}) < len(slots):
        raise _baseline("slots")
    if not can_be_filled(places, frozenset(actions)):
        raise Refused(_RANK, "The excluded actions leave no action for one of the slots.", "slots")
    return places


def _place(slot: Slot | None, target: str, actions: Collection[str]) -> Place:
    if slot is None:
        raise Refused(_RANK, "Slots contain null value.", target)
    if not slot.id:
        raise Refused(_RANK, "All slot's must contain unique, non empty ID", target)
    excluded = frozenset(slot.excluded_actions or ())
    if not excluded <= frozenset(actions):
        raise Refused(_RANK, "All excluded action ID's must have corresponding action ID", target)
    if slot.baseline_action not in actions:
        raise _baseline(target)
    if slot.baseline_action in excluded:
        raise Refused(_RANK, "BaselineAction cannot be part of ExcludedActions.", target)
    given = slot.features if slot.features is not None else slot.position_features
    features = flat([one for one in given or () if one is not None], target)
    return Place(checked_id(slot.id, _RANK, f"{target}.id"), features, frozenset(actions) - excluded)


def _baseline(target: str) -> Refused:
    return Refused(
        _RANK,
        "Each slot must contain a unique BaselineAction with an ID corresponding to an element of Actions.",
        target,
    )


def possible(place: Place, later: Sequence[Place], left: frozenset[str]) -> list[str]:
    """The actions of ``left`` that may stand at ``place`` so that those after it can be filled; sorted."""
    wanted = sorted(place.allowed & left)
    if all(left <= other.allowed for other in later):
        return wanted
    return [action for action in wanted if can_be_filled(later, left - {action})]


def can_be_filled(places: Sequence[Place], left: frozenset[str]) -> bool:
    """Whether each place can have an action of its own: augmenting paths, from one place after the other.

    >>> a, b = Place("1", {}, frozenset("xy")), Place("2", {}, frozenset("x"))
    >>> can_be_filled([a, b], frozenset("xy")), can_be_filled([a, b], frozenset("x"))
    (True, False)
    """
    stands: dict[str, int] = {}  # action -> the place that it is meant for

    def find(number: int, tried: set[str]) -> bool:
        for action in sorted(places[number].allowed & left):
            if action in tried:
                continue
            tried.add(action)
            if action not in stands or find(stands[action], tried):
                stands[action] = number
                return True
        return False

    return all(find(number, set()) for number in range(len(places)))
