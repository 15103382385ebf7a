"""Who may be chosen: what the request offers, less what it excludes, each arm once."""

from __future__ import annotations

import pytest

from decision_service.api.recommendations import RecommendationRequest
from decision_service.api.values import GivenArm
from decision_service.errors import BadRequest, NothingEligible
from decision_service.prepolicy import EXCLUDED_BY_REQUEST, Shelf, eligible, without
from sidecar.contracts.application import Arm
from sidecar.contracts.catalogue import catalogue_of

SHELF = Shelf(catalogue_of((Arm("a", {"price": 1.0}), Arm("b", {"price": 2.0}), Arm("c"))))


def ask(**fields: object) -> RecommendationRequest:
    return RecommendationRequest(session_id="s", **fields)


def test_without_arms_the_whole_catalogue_is_eligible():
    """And travels as nothing but the catalogue's version."""
    found = eligible(ask(), SHELF)

    assert (found.ids, found.places, found.arms, found.logged) == (("a", "b", "c"), None, (), ())


def test_known_arms_travel_as_their_places():
    """In the order in which the request offers them."""
    found = eligible(ask(arms=["c", "a"]), SHELF)

    assert (found.ids, found.places, found.arms) == (("c", "a"), (2, 0), ())


def test_exclusions_carry_their_reason():
    """What was taken out is logged; what was never a candidate is not."""
    found = eligible(ask(exclude=["b", "unheard of"]), SHELF)

    assert found.ids == ("a", "c")
    assert found.excluded == {"b": EXCLUDED_BY_REQUEST}


def test_given_features_lie_over_the_catalogues():
    """The rest of the arm's features stay, new arms are allowed, and the log holds what was given only."""
    found = eligible(ask(arms=["b", GivenArm("a", {"sale": True}), "new"]), SHELF)

    assert found.arms == (Arm("b", {"price": 2.0}), Arm("a", {"price": 1.0, "sale": True}), Arm("new"))
    assert found.given == {"a": {"sale": True}}
    assert found.logged == ("b", "a", "new")


def test_an_arm_that_stands_twice_is_named():
    """By the place where it stands again."""
    with pytest.raises(BadRequest) as refused:
        eligible(ask(arms=["a", "b", GivenArm("a")]), SHELF)

    assert refused.value.errors[0].pointer == "/arms/2"


@pytest.mark.parametrize("fields", [{"exclude": ["a", "b", "c"]}, {"arms": ["a"], "exclude": ["a"]}])
def test_nothing_left_is_refused(fields):
    """There is no arm to choose, so there is no decision."""
    with pytest.raises(NothingEligible, match="exclude fewer"):
        eligible(ask(**fields), SHELF)


def test_rules_take_arms_out_with_their_reason():
    """What is left travels as places in the catalogue, or as arms with the features of the request."""
    whole = without(eligible(ask(), SHELF), {"b": "sold out", "unheard of": "x"})
    some = without(
        eligible(ask(arms=["b", GivenArm("a", {"sale": True}), "new"], exclude=["new"]), SHELF),
        {"b": "sold out"},
    )

    assert (whole.ids, whole.places, whole.arms, whole.logged) == (("a", "c"), (0, 2), (), ("a", "c"))
    assert whole.excluded == {"b": "sold out"}
    assert some.arms == (Arm("a", {"price": 1.0, "sale": True}),)
    assert (some.logged, some.given) == (("a",), {"a": {"sale": True}})
    assert some.excluded == {"b": "sold out", "new": EXCLUDED_BY_REQUEST}


def test_rules_that_exclude_nothing_change_nothing():
    """Not even how the arms travel."""
    candidates = eligible(ask(), SHELF)

    assert without(candidates, {"unheard of": "x"}) is candidates


def test_rules_that_leave_nothing_are_told():
    """With their reasons, the most frequent first."""
    reasons = {"a": "sold out", "b": "under age", "c": "sold out"}
    with pytest.raises(NothingEligible, match=r"none of 3 .*: sold out \(2\), under age \(1\)"):
        without(eligible(ask(), SHELF), reasons)
