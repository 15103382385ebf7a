"""Golden bytes: what earlier code wrote decodes for ever, and today's code writes the same.

A file is never written again. When a format gains a field, its new bytes become a new file beside the old
one, which then must still decode, to the same content with the new field's default.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.arm_features import Levels, column_of
from sidecar.contracts.calibration import Calibration, curve_of
from sidecar.contracts.catalogue import catalogue_of, decode_arms, encode_arms
from sidecar.contracts.deltas import apply_deltas, decode_delta, encode_delta, summed
from sidecar.contracts.events import (
    Candidate,
    DecisionEvent,
    Shadow,
    Slot,
    decode_decision,
    encode_decision,
)
from sidecar.contracts.weights import WeightsHeader, decode_weights, encode_weights, weights_of
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score_event
from sidecar.policy.propensity import pmf_of_event

GOLDEN = Path(__file__).parent / "golden"
CATALOGUE = catalogue_of(
    (
        Arm("sku-1", {"price": 12.5, "brand": "größe", "new": True}),
        Arm("10042"),
        Arm("two words", {"price": -0.1}),
    )
)
FULL = DecisionEvent(
    decision_id="3-18bcfe5680000000000000000ff",
    session_id="s-42",
    unit_id="u-7",
    decided_at_ms=1_700_000_000_000,
    horizon_ms=1_800_000,
    source="model",
    policy="champion",
    model_version=7,
    catalogue=CATALOGUE.version,
    context={"device": "ios", "hour": 21.0, "returning": True, "商品": "a|b:c d"},
    outcomes={"device": "given", "hour": "ok"},
    arms=("two words", "sku-1"),
    given_arms={"sku-1": {"price": 11.0}},
    scores=np.array([0.25, -1.5], "<f4").tobytes(),
    exploration=Exploration("epsilon_greedy", 0.2, 0.01),
    arm="sku-1",
    arm_index=1,
    propensity=0.104,
    seed="18446744073709551615",
    client_key="order page",
    digest="d1",
    learn=False,
    limit=2,
    inclusion_probability=0.5,
    propensity_mc_n=100,
    excluded={"10042": "out of stock"},
    cold=False,
)
WITH_ARM_FEATURES = msgspec.structs.replace(
    FULL,
    arms=("two words", "sku-1", "10042"),
    scores=np.array([0.25, -1.5, 0.0], "<f4").tobytes(),
    outcomes={"device": "given", "hour": "ok", "price": "fallback", "scarce": "ok", "sold_out": "ok"},
    arm_features={
        "price": column_of([0.1, None, -3.0]),
        "scarce": Levels(("größe", True, 2.5), b"\x01\x02\x00"),
    },
    arm_outcomes={"price": Levels(("ok", "fallback"), b"\x01\x01\x02")},
)
"""What the second form of the event added."""
CALIBRATED = msgspec.structs.replace(WITH_ARM_FEATURES, expected=0.0625, rank=0.75)
"""What the third form added."""
DEFERRED = msgspec.structs.replace(CALIBRATED, deferred=True)
"""What the fourth form added."""
WITH_MODELS = msgspec.structs.replace(
    DEFERRED,
    official_probability=0.75,
    candidates=(
        Candidate(
            "challenger", 3, 0.25, Exploration("uniform"), np.array([0.5, 0.25, -1.0], "<f4").tobytes()
        ),
    ),
    shadows=(Shadow("größe-2", 0, np.array([1.5, 0.0, 0.0], "<f4").tobytes()),),
    missing=("slow",),
    slots=(Slot("two words", 0, 0.75),),
    segment="returning",
    rule="closed",
)
"""What the fifth form added."""
EXPLORED = msgspec.structs.replace(
    WITH_MODELS, exploration=Exploration("squarecb", 0.1, 0.01, temperature=0.5, gamma=40.0, floor=0.125)
)
"""What the sixth form added."""
TRACED = msgspec.structs.replace(EXPLORED, trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
"""What the seventh form added."""
PLAIN = DecisionEvent(
    decision_id="0-18bcfe568000000000000000001",
    session_id="s",
    unit_id="s",
    decided_at_ms=1,
    horizon_ms=2,
    source="fallback",
    policy="backstop",
    model_version=0,
    catalogue=CATALOGUE.version,
    context={},
    outcomes={},
    arms=(),
    given_arms={},
    scores=b"",
    exploration=Exploration("uniform"),
    arm="10042",
    arm_index=1,
    propensity=1 / 3,
    seed="1",
)


CALIBRATION = Calibration(
    curve_of(np.array([-0.5, 0.25, 1.0]), np.array([0.0, 0.0, 0.125])),
    curve_of(np.array([-1.0, 0.5]), np.array([0.25, 1.0])),
    examples=1024,
)


def _weights(fill: float, calibration: Calibration | msgspec.UnsetType = msgspec.UNSET):
    header = WeightsHeader(
        version=7,
        bits=8,
        interactions=("ca", "aa", "cc"),
        positions=("1700000000000-3", "0-0"),
        trained_until_ms=1_700_000_000_000,
        epoch=2,
        examples=40,
        calibration=calibration,
    )
    values = np.full(256, fill, np.float32)
    values[[0, 3, 200, 255]] = [1.5, -2.25, 1e-30, 0.1]
    return weights_of(header, values)


@pytest.mark.parametrize(("name", "event"), [("decision-1-full", FULL), ("decision-1-plain", PLAIN)])
def test_decision_events_of_the_first_form(name, event):
    """They know nothing of features of single arms, and decode to an event without."""
    assert decode_decision((GOLDEN / f"{name}.bin").read_bytes()) == event


@pytest.mark.parametrize(
    ("name", "event"), [("decision-2-full", WITH_ARM_FEATURES), ("decision-2-plain", PLAIN)]
)
def test_decision_events_of_the_second_form(name, event):
    """They know nothing of what a score means, and decode to an event without."""
    assert decode_decision((GOLDEN / f"{name}.bin").read_bytes()) == event


@pytest.mark.parametrize(("name", "event"), [("decision-3-full", CALIBRATED), ("decision-3-plain", PLAIN)])
def test_decision_events_of_the_third_form(name, event):
    """They know nothing of activation, and decode to an event that needed none."""
    assert decode_decision((GOLDEN / f"{name}.bin").read_bytes()) == event


@pytest.mark.parametrize(("name", "event"), [("decision-4-full", DEFERRED), ("decision-4-plain", PLAIN)])
def test_decision_events_of_the_fourth_form(name, event):
    """They know one model, one slot and no segment, and decode to an event without more."""
    assert decode_decision((GOLDEN / f"{name}.bin").read_bytes()) == event


@pytest.mark.parametrize(("name", "event"), [("decision-5-full", WITH_MODELS), ("decision-5-plain", PLAIN)])
def test_decision_events_of_the_fifth_form(name, event):
    """They know of exploration no more than epsilon and the control share."""
    assert decode_decision((GOLDEN / f"{name}.bin").read_bytes()) == event


@pytest.mark.parametrize(("name", "event"), [("decision-6-full", EXPLORED), ("decision-6-plain", PLAIN)])
def test_decision_events_of_the_sixth_form(name, event):
    """They know nothing of traces."""
    assert decode_decision((GOLDEN / f"{name}.bin").read_bytes()) == event


@pytest.mark.parametrize(("name", "event"), [("decision-7-full", TRACED), ("decision-7-plain", PLAIN)])
def test_decision_events(name, event):
    """A stored decision decodes to the same event, which encodes to the same bytes."""
    stored = (GOLDEN / f"{name}.bin").read_bytes()
    assert decode_decision(stored) == event
    assert encode_decision(event) == stored


@pytest.mark.parametrize(("name", "fill"), [("weights-1-sparse", 0.0), ("weights-1-dense", 0.5)])
def test_weights_records_without_a_calibration(name, fill):
    """A stored record decodes to the same weights, which encode to the same bytes."""
    _check_weights(name, _weights(fill))


@pytest.mark.parametrize(("name", "fill"), [("weights-2-sparse", 0.0), ("weights-2-dense", 0.5)])
def test_weights_records(name, fill):
    """The same of records that say what their scores mean."""
    _check_weights(name, _weights(fill, CALIBRATION))


def _check_weights(name, weights):
    stored = (GOLDEN / f"{name}.bin").read_bytes()
    assert decode_weights(stored).header == weights.header
    assert decode_weights(stored).values.tobytes() == weights.values.tobytes()
    assert encode_weights(weights) == stored


@pytest.mark.parametrize(("name", "calibration"), [("delta-1", msgspec.UNSET), ("delta-2", CALIBRATION)])
def test_deltas(name, calibration):
    """A stored delta leads from one golden record to another, and encodes to the same bytes."""
    stored = (GOLDEN / f"{name}.bin").read_bytes()
    base, fresh = summed(encode_weights(_weights(0.0))), summed(encode_weights(_weights(0.5, calibration)))
    assert encode_delta(base, fresh) == stored
    applied = apply_deltas(base, [decode_delta(stored)]).weights
    assert applied.values.tobytes() == fresh.weights.values.tobytes()
    assert applied.header.calibration == calibration


def test_catalogues():
    """A stored catalogue keeps its bytes and so its version."""
    stored = (GOLDEN / "catalogue-1.bin").read_bytes()
    assert decode_arms(stored) == CATALOGUE.arms
    assert encode_arms(CATALOGUE.arms) == stored
    assert CATALOGUE.version == "57a2a47d7f210ad8"


def test_scores_and_pmf():
    """A golden event under golden weights scores to golden bits: hashing, products, sums and exploration."""
    weights = decode_weights((GOLDEN / "weights-1-dense.bin").read_bytes())
    event = decode_decision((GOLDEN / "decision-1-full.bin").read_bytes())
    scores, pmf = score_event(event, CATALOGUE, weights, ArmTables())
    assert scores.tobytes() + pmf.tobytes() == (GOLDEN / "scores-1.bin").read_bytes()


def test_the_pmf_of_several_models_is_their_mixture():
    """By P(official): three quarters the official model's, one quarter the candidate's, which is uniform."""
    event = decode_decision((GOLDEN / "decision-5-full.bin").read_bytes())
    alone = pmf_of_event(msgspec.structs.replace(event, candidates=(), official_probability=1.0))
    np.testing.assert_allclose(pmf_of_event(event), 0.75 * alone + 0.25 / 3, rtol=1e-15)


def test_scores_and_pmf_with_features_of_single_arms():
    """The same with an event of the second form."""
    weights = decode_weights((GOLDEN / "weights-1-dense.bin").read_bytes())
    event = decode_decision((GOLDEN / "decision-2-full.bin").read_bytes())
    scores, pmf = score_event(event, CATALOGUE, weights, ArmTables())
    assert scores.tobytes() + pmf.tobytes() == (GOLDEN / "scores-2.bin").read_bytes()
