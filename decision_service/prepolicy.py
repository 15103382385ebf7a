"""What may be chosen at all: the eligible arms, and for each that is not, why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from decision_service.api.recommendations import RecommendationRequest
from decision_service.api.values import GivenArm
from decision_service.errors import BadRequest, FieldError, NothingEligible
from sidecar.contracts.application import Arm, Features
from sidecar.contracts.catalogue import Catalogue

EXCLUDED_BY_REQUEST = "excluded by the request"
_REASONS_TOLD = 5
_MOST_LEFT = 64
"""Sets of excluded arms that are remembered: what is sold out does not change with each request."""

KnownFeatures = Mapping[str, Mapping[str, str | float | bool]]
"""Arm to its features before anything was fetched."""


class Shelf:
    """A catalogue, indexed for the request path."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.ids = tuple(arm.id for arm in catalogue.arms)
        self.place = {arm_id: index for index, arm_id in enumerate(self.ids)}
        self.features: KnownFeatures = MappingProxyType(
            {arm.id: MappingProxyType(arm.features) for arm in catalogue.arms}
        )
        self.whole = Eligible(self, self.ids, None, (), (), {}, {})
        """All of it."""
        self.left: dict[tuple[tuple[str, str], ...], Eligible] = {}
        """Of all of it, what is left without arms that rules excluded lately, by arm and reason."""


class Shelves:
    """The shelf that decisions are made from. It changes whole; a decision keeps the one it began with."""

    def __init__(self, current: Shelf) -> None:
        self.current = current


class Eligible(Struct, frozen=True):
    """The eligible arms, in the three forms that answer, hop and log need."""

    shelf: Shelf
    """Where they come from."""
    ids: tuple[str, ...]
    """All of them, in the order of scoring."""
    places: tuple[int, ...] | None
    """Where they stand in the catalogue; None: all of it, or ``arms`` says."""
    arms: tuple[Arm, ...]
    """They themselves where the catalogue does not have them so; otherwise empty."""
    logged: tuple[str, ...]
    """``ids`` for the event; empty: the whole catalogue."""
    given: dict[str, Features]
    """Features that the request gave, by arm."""
    excluded: dict[str, str]
    """Arm to reason."""

    @property
    def known(self) -> KnownFeatures:
        """Features of at least these arms, before anything was fetched."""
        return {arm.id: arm.features for arm in self.arms} if self.arms else self.shelf.features


def eligible(request: RecommendationRequest, shelf: Shelf) -> Eligible:
    """The arms that the request allows.

    Raises:
        BadRequest: an arm stands twice among the candidates.
        NothingEligible: every candidate is excluded.
    """
    if request.arms is None and not request.exclude:
        return shelf.whole
    candidates = shelf.ids if request.arms is None else _candidates(request.arms)
    barred = set(request.exclude)
    ids = tuple(arm_id for arm_id in candidates if arm_id not in barred)
    if not ids:
        raise NothingEligible(f"all {len(candidates)} candidates are excluded: exclude fewer, or offer more")
    given = {arm.id: arm.features for arm in request.arms or () if isinstance(arm, GivenArm) and arm.features}
    given = {arm_id: features for arm_id, features in given.items() if arm_id not in barred}
    excluded = {arm_id: EXCLUDED_BY_REQUEST for arm_id in candidates if arm_id in barred}
    places = tuple(shelf.place.get(arm_id, -1) for arm_id in ids)
    if given or -1 in places:
        return Eligible(shelf, ids, None, _as_scored(ids, places, given, shelf), ids, given, excluded)
    return Eligible(shelf, ids, places, (), ids, given, excluded)


def without(candidates: Eligible, excluded: Mapping[str, str]) -> Eligible:
    """The candidates less those that the application's own rules exclude; mostly it was asked before.

    Args:
        candidates: what the request allows.
        excluded: arm to reason; arms that are no candidates do not matter.

    Raises:
        NothingEligible: none is left; the message tells the reasons.
    """
    if candidates is not candidates.shelf.whole:
        return _without(candidates, excluded)
    known, why = candidates.shelf.left, tuple(excluded.items())
    left = known.get(why)
    if left is None:
        if len(known) >= _MOST_LEFT:
            known.clear()
        left = known[why] = _without(candidates, excluded)
    return left


def _without(candidates: Eligible, excluded: Mapping[str, str]) -> Eligible:
    reasons = {arm_id: excluded[arm_id] for arm_id in candidates.ids if arm_id in excluded}
    if not reasons:
        return candidates
    shelf, ids = candidates.shelf, tuple(arm_id for arm_id in candidates.ids if arm_id not in reasons)
    if not ids:
        raise NothingEligible(f"none of {len(candidates.ids)} candidates is eligible: {_told(reasons)}")
    given = {arm_id: features for arm_id, features in candidates.given.items() if arm_id not in reasons}
    why = {**candidates.excluded, **reasons}
    if candidates.arms:
        arms = tuple(arm for arm in candidates.arms if arm.id not in reasons)
        return Eligible(shelf, ids, None, arms, ids, given, why)
    return Eligible(shelf, ids, tuple(shelf.place[arm_id] for arm_id in ids), (), ids, given, why)


def only(candidates: Eligible, answered: Sequence[str]) -> Eligible | None:
    """The candidates that a rule answers with, in its order; None if it names none of them.

    Args:
        candidates: what is eligible.
        answered: arms; those that may not be chosen do not matter, nor does one that stands again.
    """
    allowed = set(candidates.ids)
    ids = tuple(dict.fromkeys([arm_id for arm_id in answered if arm_id in allowed]))
    if not ids:
        return None
    given = {arm_id: candidates.given[arm_id] for arm_id in ids if arm_id in candidates.given}
    if candidates.arms:
        by_id = {arm.id: arm for arm in candidates.arms}
        arms = tuple([by_id[arm_id] for arm_id in ids])
        return Eligible(candidates.shelf, ids, None, arms, ids, given, candidates.excluded)
    places = tuple([candidates.shelf.place[arm_id] for arm_id in ids])
    return Eligible(candidates.shelf, ids, places, (), ids, given, candidates.excluded)


def _told(reasons: Mapping[str, str]) -> str:
    most = Counter(reasons.values()).most_common()
    told = ", ".join(f"{reason} ({count})" for reason, count in most[:_REASONS_TOLD])
    return told if len(most) <= _REASONS_TOLD else f"{told}, …"


def _candidates(arms: list[str | GivenArm]) -> tuple[str, ...]:
    ids = tuple(arm if isinstance(arm, str) else arm.id for arm in arms)
    if len(set(ids)) < len(ids):
        first = {arm_id: place for place, arm_id in reversed(list(enumerate(ids)))}
        again = next(place for place, arm_id in enumerate(ids) if first[arm_id] < place)
        raise BadRequest(FieldError(f"/arms/{again}", f"arm {ids[again]!r} stands twice; legal: each once"))
    return ids


def _as_scored(
    ids: tuple[str, ...], places: tuple[int, ...], given: dict[str, Features], shelf: Shelf
) -> tuple[Arm, ...]:
    """The arms with the request's features over the catalogue's; one that is new has its id only."""
    arms = shelf.catalogue.arms
    known = (arms[place] if place >= 0 else Arm(arm_id) for arm_id, place in zip(ids, places, strict=True))
    return tuple(Arm(arm.id, {**arm.features, **given.get(arm.id, {})}) for arm in known)
