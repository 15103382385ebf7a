"""Arms of examples: the right ones, and the same objects for the same arms."""

from __future__ import annotations

import msgspec
import pytest

from policy_learner.join.catalogues import Catalogues
from policy_learner.learning.arm_sets import ArmSets
from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.arm_features import Levels, column_of
from sidecar.contracts.catalogue import catalogue_of, encode_arms
from sidecar.contracts.errors import BadEvent, UnknownCatalogue
from sidecar.contracts.events import DecisionEvent, arms_of

CATALOGUE = catalogue_of((Arm("a", {"price": 1.0}), Arm("b"), Arm("c")))
EVENT = DecisionEvent(
    decision_id="d",
    session_id="s",
    unit_id="u",
    decided_at_ms=0,
    horizon_ms=1,
    source="model",
    policy="champion",
    model_version=0,
    catalogue=CATALOGUE.version,
    context={},
    outcomes={},
    arms=(),
    given_arms={},
    scores=b"",
    exploration=Exploration(),
    arm="a",
    arm_index=0,
    propensity=0.5,
    seed="1",
)


def _sets() -> ArmSets:
    known = {CATALOGUE.version: encode_arms(CATALOGUE.arms)}
    return ArmSets(Catalogues(known.get))


def _event(**changes: object) -> DecisionEvent:
    return msgspec.structs.replace(EVENT, **changes)


def test_equal_arms_are_one_object():
    """Whole sets that come again, and single arms in sets that differ in another arm."""
    sets = _sets()
    first = sets.of(_event(arm_features={"new": column_of([True, None, True])}))
    again = sets.of(_event(arm_features={"new": column_of([True, None, True])}))
    other = sets.of(_event(arm_features={"new": column_of([True, True, True])}))

    assert first is again
    assert first[0] is other[0]
    assert first[1] != other[1]
    assert sets.of(EVENT) is sets.of(_event(decision_id="e"))


@pytest.mark.parametrize(
    "changes",
    [
        {"arms": ("c", "a")},
        {"given_arms": {"a": {"price": 2.0}}},
        {"arm_features": {"price": column_of([None, 0.5, 1.0])}},
        {"arm_features": {"new": column_of([True, 1.0, "1"])}},
    ],
)
def test_arms_are_those_that_were_scored(changes):
    """As the contract says; and true, one and "1" are three different features."""
    sets = _sets()
    sets.of(_event(arm_features={"new": column_of([1.0, True, "1"])}))

    found = sets.of(_event(**changes))

    assert msgspec.msgpack.encode(found) == msgspec.msgpack.encode(arms_of(_event(**changes), CATALOGUE))


def test_what_is_kept_is_bounded(monkeypatch):
    """Arms that never come again push the others out, and everything stays right."""
    monkeypatch.setattr("policy_learner.learning.arm_sets._ARMS_IN_SETS_KEPT", 9)
    monkeypatch.setattr("policy_learner.learning.arm_sets._ARMS_KEPT", 5)
    sets = _sets()
    for n in range(50):
        event = _event(arm_features={"x": column_of([float(n), None, 1.0])})
        assert sets.of(event) == arms_of(event, CATALOGUE)
    assert len(sets._sets) <= 3
    assert len(sets._arms) <= 5


def test_what_cannot_be_known_is_said():
    """A catalogue that nobody has, and a column that is broken."""
    with pytest.raises(UnknownCatalogue):
        _sets().of(_event(catalogue="0" * 16))
    with pytest.raises(BadEvent, match="legal is 1 each"):
        _sets().of(_event(arm_features={"x": Levels(("y",), b"\1")}))
