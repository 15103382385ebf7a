"""What scores mean, from the weights record to the answer, the log, and the decision that is looked up."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from sidecar.contracts.calibration import Calibration, curve_of
from sidecar.contracts.events import decode_decision
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.publish import Publication, publish_call
from sidecar.contracts.store import Scripts, connect
from sidecar.contracts.weights import WeightsHeader, encode_weights, weights_of
from sidecar.policy.calibration import expected_of, ranks_of
from tests.decision_service.platform import Platform, platform
from tests.waiting import until

CALIBRATION = Calibration(
    curve_of(np.array([-2.0, 0.0, 2.0]), np.array([0.0, 0.1, 0.4])),
    curve_of(np.array([-3.0, 0.0, 3.0]), np.array([0.2, 0.5, 1.0])),
    examples=1024,
)


def publish(shop: Platform, version: int, calibration) -> None:
    header = WeightsHeader(
        version=version,
        bits=10,
        interactions=("ca",),
        positions=("0-0", "0-0"),
        trained_until_ms=0,
        epoch=1,
        examples=0,
        calibration=calibration,
    )
    record = encode_weights(weights_of(header, np.random.default_rng(version).normal(size=1024)))
    with connect(shop.store_server.url) as client:
        made = Publication(
            epoch=1, version=version, record=record, positions=("0-0",), examples=0, batches=(), checksum=""
        )
        assert Scripts.on(client).run(publish_call("bench", made)) == b"OK"
    until(lambda: shop.recommend().json()["model_version"] == version)


@pytest.fixture(scope="module")
def shop():
    with platform(environ={"SIDEARM_DECISION_SERVICE_CALIBRATED": "true"}) as made:
        yield made


def stored(shop: Platform, decision_id: str):
    keys = Keys("bench", int(decision_id.partition("-")[0], 16))
    return decode_decision(shop.store.get(keys.decision(decision_id)).partition(b"|")[2])


def test_a_decision_says_what_was_expected_of_its_arm(shop):
    """In the answer, in the stored event, when it is looked up, and when it is asked for again."""
    publish(shop, 1, CALIBRATION)
    asked = {"context": {"hour": 21}, "decision_id": "mine", "session_id": "s-1"}
    answer = shop.recommend(**asked).json()
    found, event = shop.decision(answer["decision_id"]), stored(shop, answer["decision_id"])
    score = np.frombuffer(event.scores, "<f4")[event.arm_index][None]
    meant = float(expected_of(score, CALIBRATION)[0]), float(ranks_of(score, CALIBRATION)[0])
    repeated = shop.recommend(**asked).json()
    assert (event.expected, event.rank) == meant
    for told in (answer, found, repeated):
        assert (told["expected"], told["rank"]) == meant
    assert repeated["source"] == "repeat"


def test_without_a_calibration_nothing_is_said(shop):
    """Weights of a learner that has seen too few examples, or knew no calibration: decisions go on."""
    for version, calibration in ((2, None), (3, msgspec.UNSET)):
        publish(shop, version, calibration)
        answer = shop.recommend().json()
        found = shop.decision(answer["decision_id"])
        assert answer["source"] == "model"
        assert not {"expected", "rank"} & answer.keys()
        assert (found["expected"], found["rank"]) == (None, None)


def test_nobody_who_did_not_ask_is_told():
    """The default: not in the answer, not in the log."""
    with platform() as shop:
        publish(shop, 1, CALIBRATION)
        answer = shop.recommend().json()
        assert not {"expected", "rank"} & answer.keys()
        assert stored(shop, answer["decision_id"]).expected is None
