"""Features of single arms over real HTTP: scored as logged, and an application's rubbish is never a 500."""

from __future__ import annotations

import numpy as np

from sidecar.contracts.application import Arm
from sidecar.contracts.arm_features import values_of
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.keys import weights
from sidecar.contracts.weights import decode_weights
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score_event
from tests.decision_service.platform import ARMS, platform
from tests.decision_service.test_failures import publish
from tests.decision_service.test_service import stored_event
from tests.waiting import until

FEATURES = """
from typing import Any, TypedDict
from feature_graph import Graph, each

class Given(TypedDict):
    arms: tuple[str, ...]
    candidates: tuple[str, ...]
    arm_features: dict[str, Any]
    rule: Any
    said: str

def length(arm: str) -> float:
    return len(arm) / 3

def dearer(arms: tuple[str, ...], arm_features: dict[str, Any]) -> Any:
    return [{"price": arm_features[arm].get("price", 0.0) * 1.1, "kind": None} for arm in arms]

def breaks(arm: str) -> float:
    return 1 / (arm != "sku-2")

def rubbish(said: str, arms: tuple[str, ...]) -> Any:
    return eval(said or "None", {"arms": arms})

def barred(candidates: tuple[str, ...], rule: Any) -> Any:
    return eval(rule or "{}", {"candidates": candidates})

graph = Graph(
    Given, dearer, rubbish, barred,
    length=each(length, over="arms"), breaks=each(breaks, over="arms"),
)
goals = ()
arm_goals = ("length", "dearer", "breaks", "rubbish")
first_look = ("barred",)
"""
RUBBISH = (
    "[1.0]",
    "[1.0] * 99",
    "{}",
    "{'sku-1': 1.0}",
    "'abcd'",
    "5",
    "[[1], {1: 2}, {'x': []}, object()]",
    "[{(): 1}] * 4",
    "[{'x': 10**400}] * 4",
    "[float('inf')] * 4",
    "['\\ud800'] * 4",
    "1 / 0",
    "lambda: 1",
)


def app() -> dict[str, object]:
    return {"top": 'features = "features.py"', "files": {"features.py": FEATURES}}


def test_what_is_scored_is_what_is_logged():
    """With real weights: numbers, one that covers the catalogue's, and the request's own over both."""
    with platform(**app()) as shop:
        publish(shop, version=1)
        until(lambda: shop.recommend().json()["model_version"] == 1)
        arms = ["777", {"id": "sku-2", "features": {"price": 9.0}}, "sku-1", "new"]
        for asked in ({}, {"exclude": ["sku-1"]}, {"arms": arms}):
            answer = shop.recommend(context={"hour": 5}, **asked).json()
            event = stored_event(shop, answer)
            record = decode_weights(shop.store.hget(weights("bench"), "record"))
            catalogue = catalogue_of(tuple(Arm(arm["id"], arm.get("features", {})) for arm in ARMS))
            scores, pmf = score_event(event, catalogue, record, ArmTables())

            assert answer["source"] == "model"
            assert scores.astype("<f4").tobytes() == event.scores
            assert float(pmf[event.arm_index]) == event.propensity
        found = shop.decision(answer["decision_id"])

    assert values_of(event.arm_features["price"], 4)[1] is None
    assert {arm["arm"]: arm["features"] for arm in found["arms"]} == {
        "777": {"length": 1.0, "price": 0.0},
        "sku-2": {"length": float(np.float32(5 / 3)), "price": 9.0},
        "sku-1": {"length": float(np.float32(5 / 3)), "price": float(np.float32(1.1))},
        "new": {"length": 1.0, "price": 0.0},
    }
    assert (found["outcomes"]["length"], found["outcomes"]["breaks"]) == ("ok", "failed")


def test_rubbish_for_arms_is_unusable_and_never_a_500():
    """The decision is made with what is left, and the log tells what was not."""
    with platform(**app()) as shop:
        for said in RUBBISH:
            response = shop.recommend(context={"said": said})
            assert response.status_code == 201, (said, response.text)
            assert response.json()["source"] == "model", said
            outcomes = shop.decision(response.json()["decision_id"])["outcomes"]
            assert outcomes["rubbish"] == ("failed" if "/" in said else "unusable"), said
            assert outcomes["length"] == "ok"


def test_some_values_may_be_usable():
    """Each arm's outcome is told where they differ."""
    with platform(sidecar=False, **app()) as shop:
        answer = shop.recommend(context={"said": "[1.0, [], None, 'x']"}).json()
        found = shop.decision(answer["decision_id"])

    told = [(arm["features"].get("rubbish"), arm["outcomes"]) for arm in found["arms"]]
    assert told == [
        (1.0, {"rubbish": "ok"}),
        (None, {"rubbish": "unusable"}),
        (None, {"rubbish": "ok"}),
        ("x", {"rubbish": "ok"}),
    ]
    assert found["outcomes"]["rubbish"] == "unusable"


def test_rules_may_say_anything_too():
    """What they exclude is gone; rubbish excludes nothing; nothing left is 422 with the reasons."""
    with platform(sidecar=False, **app()) as shop:
        some = shop.recommend(context={"rule": "{'sku-1': 'sold out', 'x': 'y'}"}).json()
        for rule in ("5", "[[]]", "{(): 1}", "1 / 0", "'sku-1'"):
            response = shop.recommend(context={"rule": rule})
            assert response.status_code == 201, (rule, response.text)
            assert shop.decision(response.json()["decision_id"])["excluded"] == {}
        nothing = shop.recommend(context={"rule": "dict.fromkeys(candidates, 'closed')"})
        found = shop.decision(some["decision_id"])

    assert found["excluded"] == {"sku-1": "sold out"}
    assert [arm["arm"] for arm in found["arms"]] == ["sku-2", "a/b %2F", "777"]
    assert (nothing.status_code, nothing.json()["type"]) == (422, "urn:sidearm:problem:NothingEligible")
    assert "none of 4 candidates is eligible: closed (4)" in nothing.json()["detail"]
