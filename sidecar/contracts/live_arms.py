"""Changes of a catalogue: arms added, retired, given other features. Pure; each makes a new version."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sidecar.contracts.application import Arm, Features, FeatureValue
from sidecar.contracts.catalogue import MOST_ARMS, Catalogue, catalogue_of
from sidecar.contracts.errors import BadArms


class ArmsChange(Struct, frozen=True):
    """Several changes that take effect together."""

    put: tuple[Arm, ...] = ()
    """Added; one that is there already is replaced, and keeps its place."""
    merged: Mapping[str, Mapping[str, FeatureValue | None]] = {}
    """Arm to features that it gets over its own; None takes one away."""
    retired: tuple[str, ...] = ()


def changed(catalogue: Catalogue, change: ArmsChange) -> Catalogue:
    """The catalogue with a change. Arms keep their order, new ones come last.

    Raises:
        BadArms: an arm is changed twice, is not there, none would be left, or more than ``MOST_ARMS``.

    >>> shop = catalogue_of((Arm("hat", {"price": 2.0}), Arm("shoe")))
    >>> changed(shop, ArmsChange(merged={"hat": {"price": 1.5, "new": True}}, retired=("shoe",))).arms
    (Arm(id='hat', features={'price': 1.5, 'new': True}),)
    """
    arms = catalogue.by_id()
    _check(change, arms)
    for arm in change.put:
        arms[arm.id] = arm
    for arm_id, features in change.merged.items():
        arms[arm_id] = Arm(arm_id, merged(arms[arm_id].features, features))
    for arm_id in change.retired:
        del arms[arm_id]
    if not 0 < len(arms) <= MOST_ARMS:
        raise BadArms(f"{len(arms)} arms would be left: legal are 1 to {MOST_ARMS}")
    return catalogue_of(tuple(arms.values()))


def merged(features: Features, over: Mapping[str, FeatureValue | None]) -> Features:
    """Features with others over them; None takes one away."""
    both = {**features, **over}
    return {name: value for name, value in both.items() if value is not None}


def _check(change: ArmsChange, arms: Mapping[str, Arm]) -> None:
    named = [*[arm.id for arm in change.put], *change.merged, *change.retired]
    if len(set(named)) < len(named):
        twice = next(name for place, name in enumerate(named) if name in named[:place])
        raise BadArms(f"arm {twice!r} is changed twice: legal is each once")
    for arm_id in (*change.merged, *change.retired):
        if arm_id not in arms:
            raise BadArms(f"arm {arm_id!r} is not in the catalogue")
