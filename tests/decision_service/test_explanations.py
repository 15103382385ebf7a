"""Why an arm was chosen, over real HTTP: the parts of its score, and what only chance explains."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from sidecar.contracts import keys
from sidecar.contracts.scripts.publish import Publication, publish_call
from sidecar.contracts.store import Scripts
from sidecar.contracts.weights import WeightsHeader, encode_weights, weights_of
from tests.decision_service.platform import Platform, platform
from tests.waiting import until

BITS = 12
RULES = {"rules.py": 'def kiosk(device): return "777" if device == "kiosk" else None\n'}
TOP = '[rules]\nanswer = ["kiosk"]\n[exploration]\nepsilon = 0.5\n[sidecar]\npast_bytes = 40_000\n'
"""Room for two versions, of 16 KiB each."""


def publish(shop: Platform, version: int) -> bytes:
    """Publish weights, and wait until the sidecar serves them."""
    header = WeightsHeader(
        version=version,
        bits=BITS,
        interactions=("ca",),
        positions=("0-0", "0-0"),
        trained_until_ms=0,
        epoch=1,
        examples=0,
    )
    record = encode_weights(weights_of(header, np.random.default_rng(version).normal(size=2**BITS)))
    made = Publication(
        epoch=1, version=version, record=record, positions=("0-0",), examples=0, batches=(), checksum=""
    )
    assert Scripts.on(shop.store).run(publish_call("bench", made)) == b"OK"
    until(lambda: shop.recommend(session_id="wait").json()["model_version"] == version)
    return record


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform(top=TOP, files=RULES) as made:
        yield made


def explained(shop: Platform, **asked) -> dict:
    """Ask for a recommendation, and why it is that one."""
    answer = shop.recommend(**asked).json()
    why = shop.client.get(f"/v1/decisions/{answer['decision_id']}/explanation")
    assert why.status_code == 200, why.text
    return {**answer, **why.json()}


def test_before_the_first_weights_all_arms_are_alike(shop):
    found = explained(shop)
    assert (found["why"], found["explained_by"], found["exact"]) == ("alike", None, None)
    assert [arm["parts"] for arm in found["arms"]] == [[], []]


def test_the_parts_add_up_to_the_scores_that_were_served(shop):
    """Of the chosen arm and of the runner-up, with the features that they had for this request."""
    publish(shop, 1)
    given = {"id": "sku-2", "features": {"sale": True}}
    context = {"device": "ios", "hour": 21}
    found = explained(shop, session_id="sum", context=context, arms=["sku-1", given, "777"], limit="all")
    scores = {one["arm"]: one["score"] for one in found["ranking"]}
    assert (found["model_version"], found["explained_by"], found["exact"]) == (1, 1, True)
    assert found["models"][0]["policy"] == "champion"
    assert [arm["role"] for arm in found["arms"]] == ["chosen", "runner_up"]
    for arm in found["arms"]:
        total = math.fsum(part["contribution"] for part in arm["parts"]) + arm["others"]
        assert arm["score"] == scores[arm["arm"]]
        assert total == pytest.approx(arm["score"], abs=1e-5)
        assert ["context.device=ios", f"arm.id={arm['arm']}"] in [part["features"] for part in arm["parts"]]
    sale = [arm for arm in found["arms"] if arm["arm"] == "sku-2"]
    assert all(["arm.sale=true"] in [part["features"] for part in arm["parts"]] for arm in sale)


def test_what_exploration_drew_is_called_exploration(shop):
    """And what was scored highest is not; half of the decisions are drawn evenly here."""
    found = [explained(shop, session_id=f"x{n}", context={"n": n}, limit="all") for n in range(40)]
    for one in found:
        best = one["ranking"][0]
        assert one["why"] == ("best" if one["arm"] == best["arm"] else "exploration")
        other = best["arm"] if one["why"] == "exploration" else one["ranking"][1]["arm"]
        assert one["arms"][1]["arm"] == other
        assert one["least_probability"] == pytest.approx((0.99 * 0.5 + 0.01) / 4)
    explored = next(one for one in found if one["why"] == "exploration")
    assert "its score does not explain the choice" in explored["told"]
    assert explored["exploration"] == {
        "scheme": "epsilon_greedy",
        "epsilon": 0.5,
        "floor": 0.0,
        "control_share": 0.01,
    }


def test_every_slot_has_its_reason_among_the_arms_that_were_left(shop):
    """The whole of three arms: in the third slot there is no other any more."""
    found = explained(shop, session_id="slots", context={"n": 1}, limit=3, arms=["sku-1", "sku-2", "777"])
    scores = {one["arm"]: one["score"] for one in found["ranking"]}
    left = set(scores) - {found["arm"]}
    for slot, shown in zip(found["slots"], found["ranking"][1:], strict=True):
        left.discard(slot["arm"])
        best = max(left, key=scores.get) if left else None
        better = best is not None and scores[best] > scores[slot["arm"]]
        assert (slot["arm"], slot["probability"]) == (shown["arm"], shown["probability"])
        assert slot["runner_up"] == best
        assert slot["why"] == ("only" if best is None else "exploration" if better else "best")
    assert {arm["arm"]: arm["score"] for arm in found["arms"]} == scores
    assert [arm["role"] for arm in found["arms"]] == ["chosen", "runner_up", "slot"]
    assert found["exact"]


def test_an_earlier_version_explains_what_it_scored(shop):
    """As long as it was served lately or is kept; else the newest explains, and says that it is another."""
    older = publish(shop, 2)
    decided = shop.recommend(session_id="older", context={"hour": 3}).json()["decision_id"]
    publish(shop, 3)
    lately = explained_after(shop, 4)
    publish(shop, 5)
    path = f"/v1/decisions/{decided}/explanation"
    lost = shop.client.get(path).json()
    shop.store.hset(keys.model_records("bench"), "2", older)
    kept = shop.client.get(path).json()
    assert (lately["explained_by"], lately["exact"], lately["model_version"]) == (3, True, 3)
    assert (lost["explained_by"], lost["exact"], lost["model_version"]) == (5, False, 2)
    assert (kept["explained_by"], kept["exact"], kept["model_version"]) == (2, True, 2)


def explained_after(shop: Platform, version: int) -> dict:
    """Why a decision was made, asked when ``version`` is served already."""
    decided = shop.recommend(session_id="lately", context={"hour": 3}).json()["decision_id"]
    publish(shop, version)
    return shop.client.get(f"/v1/decisions/{decided}/explanation").json()


def test_a_rule_and_a_lonely_arm_are_their_own_explanation(shop):
    rule = explained(shop, session_id="k", context={"device": "kiosk"})
    only = explained(shop, session_id="l", arms=["sku-1"])
    assert (rule["why"], rule["explained_by"], rule["models"]) == ("rule", None, [])
    assert rule["told"] == "The rule 'kiosk' answered; no model was asked."
    assert (only["why"], len(only["arms"])) == ("only", 1)


def test_a_decision_that_is_not_there_has_no_explanation(shop):
    response = shop.client.get("/v1/decisions/0-18bcfe5680000000000000000ff/explanation")
    assert response.status_code == 404


def test_without_the_model_container_only_what_it_scored_cannot_be_explained():
    """503 for that; the backstop's answer says that it is one."""
    with platform(files=RULES) as shop:
        publish(shop, 1)
        scored = shop.recommend(session_id="s").json()["decision_id"]
        shop.sidecar.stop()
        alone = shop.client.get(f"/v1/decisions/{scored}/explanation")
        backstop = explained(shop, session_id="b")
    assert (alone.status_code, alone.json()["type"]) == (503, "urn:sidearm:problem:SidecarFailed")
    assert (backstop["why"], backstop["explained_by"]) == ("backstop", None)
