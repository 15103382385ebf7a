"""Rules and exploration over real HTTP: answered at once, explored by segment, changed while it serves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sidecar.contracts import keys
from sidecar.contracts.application import ExplorationConfig
from sidecar.contracts.events import decode_decision
from sidecar.contracts.exploring import Segment, with_segment
from sidecar.contracts.exploring_store import change_exploring
from sidecar.contracts.ids import partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.decide import split_stored
from sidecar.contracts.store import Scripts
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw
from tests.decision_service.platform import Platform, platform
from tests.waiting import until

RULES = """
def kiosk(device): return "777" if device == "kiosk" else None
def order(device): return ["sku-2", "a/b %2F"] if device == "order" else None
def only_dear(device): return {"sku-1": "too cheap"} if device == "rich" else None
def night(context): return context.get("hour", 0) > 20
"""
APP_RULES = """
[rules]
answer = ["kiosk", "order"]
exclude = ["only_dear"]
segments = ["night"]
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform(top=APP_RULES, files={"rules.py": RULES}) as made:
        yield made


@pytest.fixture
def change(shop):
    """Change how the application explores, and wait until the service follows."""

    def changed(work):
        after = change_exploring(Scripts.on(shop.store), "bench", work, "a test")
        wanted = f"revision {after.revision}:"
        until(lambda: wanted in shop.service.output())

    return changed


def stored_event(shop: Platform, answer: dict):
    at = Keys("bench", partition_of_session(answer["session_id"], 2))
    return decode_decision(split_stored(shop.store.get(at.decision(answer["decision_id"])))[1])


def test_a_rule_answers_at_once_with_certainty(shop):
    """No model is asked, nothing is learnt, and the log has the rule's name."""
    answer = shop.recommend(session_id="k", context={"device": "kiosk"}).json()
    event = stored_event(shop, answer)
    assert (answer["arm"], answer["probability"], answer["source"]) == ("777", 1.0, "pre_policy")
    assert (answer["policy"], answer["logged"], answer["model_version"]) == ("kiosk", True, 0)
    assert (event.rule, event.learn, event.arms, event.propensity) == ("kiosk", False, ("777",), 1.0)
    assert event.outcomes == {"device": "given", "kiosk": "ok", "order": "ok", "only_dear": "ok"}
    assert pmf_of_event(event).tolist() == [1.0]


def test_a_rules_order_is_the_ranking(shop):
    """The first with certainty, and so each further slot."""
    answer = shop.recommend(session_id="o", context={"device": "order"}, limit=2).json()
    event = stored_event(shop, answer)
    assert [(one["arm"], one["probability"]) for one in answer["ranking"]] == [
        ("sku-2", 1.0),
        ("a/b %2F", 1.0),
    ]
    assert [(slot.arm, slot.propensity) for slot in event.slots] == [("a/b %2F", 1.0)]


def test_what_the_request_excludes_no_rule_answers_with(shop):
    """The order's second is first then; and where nothing of it is left, the model answers."""
    some = shop.recommend(session_id="e1", context={"device": "order"}, exclude=["sku-2"]).json()
    none = shop.recommend(session_id="e2", context={"device": "kiosk"}, exclude=["777"]).json()
    assert (some["source"], some["arm"]) == ("pre_policy", "a/b %2F")
    assert (none["source"], none["policy"]) == ("model", "champion")


def test_a_rule_excludes_arms_with_its_reason(shop):
    answer = shop.recommend(session_id="x", context={"device": "rich"}).json()
    event = stored_event(shop, answer)
    assert event.excluded == {"sku-1": "too cheap"}
    assert "sku-1" not in event.arms


def test_a_rules_answer_is_repeated(shop):
    asked = {"session_id": "r", "decision_id": "mine", "context": {"device": "kiosk"}}
    first, again = shop.recommend(**asked).json(), shop.recommend(**asked).json()
    assert again == {**first, "source": "repeat"}


def test_segments_explore_as_they_say_and_are_logged(shop, change):
    """Each decision can be drawn again from what it logged; who is in no segment explores as everywhere."""
    bold = ExplorationConfig("softmax", temperature=0.5, control_share=0.0, floor=0.01)
    change(lambda now: type(now)(None, (), now.revision))
    change(lambda now: with_segment(now, Segment(name="late", rule="night", exploration=bold)))
    change(lambda now: with_segment(now, Segment(name="ios", where={"device": ["ios"]})))
    asked = ({"hour": 22}, {"device": "ios"}, {"hour": 3, "device": "android"})
    found = [stored_event(shop, shop.recommend(session_id="s", context=context).json()) for context in asked]
    assert [event.segment for event in found] == ["late", "ios", ""]
    shown = [shop.client.get(f"/v1/decisions/{event.decision_id}").json()["segment"] for event in found]
    assert shown == ["late", "ios", None]
    assert found[0].exploration == bold.as_logged()
    assert found[1].exploration == found[2].exploration == ExplorationConfig().as_logged()
    for event in found:
        pmf = pmf_of_event(event)
        assert (draw(pmf, int(event.seed)), pmf[event.arm_index]) == (event.arm_index, event.propensity)


def test_what_is_changed_everywhere_is_followed(shop, change):
    """And an unknown rule, of an application that is still to be rolled out, has no decisions."""
    change(
        lambda now: type(now)(
            ExplorationConfig("uniform"), (Segment(name="later", rule="to_come"),), now.revision
        )
    )
    event = stored_event(shop, shop.recommend(session_id="w", context={"hour": 22}).json())
    assert (event.segment, event.exploration.scheme) == ("", "uniform")
    assert "rules that this application has not: to_come" in shop.service.output()
    assert np.ptp(pmf_of_event(event)) == 0.0


def test_foreign_bytes_change_nothing(shop, change):
    """What is in memory stays, and the service says why."""
    change(lambda now: type(now)(ExplorationConfig(epsilon=0.5), (), now.revision))
    before = shop.store.hgetall(keys.exploring("bench"))
    shop.store.hset(keys.exploring("bench"), mapping={"plan": b"\xff", "revision": b"99"})
    shop.store.xadd(keys.model_notices("bench"), {"explore": "99"})
    until(lambda: "cannot be read" in shop.service.output())
    event = stored_event(shop, shop.recommend(session_id="f").json())
    shop.store.hset(keys.exploring("bench"), mapping=before)
    assert event.exploration.epsilon == 0.5


def test_the_api_shows_and_replaces_how_the_application_explores(shop):
    """Followed at once by who answered. A retry is no harm; what overlooks a change is refused."""
    before = shop.client.get("/v1/exploration").json()
    plan = {
        "everywhere": {"scheme": "squarecb", "gamma": 40},
        "segments": [{"name": "late", "rule": "night", "units_to": 0.5}],
    }
    done = shop.client.put("/v1/exploration", json={**plan, "revision": before["revision"]}).json()
    event = stored_event(shop, shop.recommend(session_id="api").json())
    again = shop.client.put("/v1/exploration", json={**plan, "revision": before["revision"]})
    stale = shop.client.put("/v1/exploration", json={"revision": before["revision"]})
    assert again.json() == shop.client.get("/v1/exploration").json()
    assert again.json() == {**done, "revision": done["revision"] + 1}
    assert (done["revision"], done["rules"]) == (before["revision"] + 1, ["night"])
    assert done["segments"][0]["exploration"] is None
    assert (event.exploration.scheme, event.exploration.gamma) == ("squarecb", 40.0)
    assert (stale.status_code, stale.json()["type"]) == (409, "urn:sidearm:problem:Outdated")


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        ({"segments": [{"name": "a"}, {"name": "b", "rule": "kiosk"}]}, "/segments/1/rule", "legal: night"),
        ({"segments": [{"name": "a"}, {"name": "a"}]}, "/segments", "stands twice"),
        ({"segments": [{"name": "a", "units_from": 1}]}, "/segments/0", "from below to"),
        ({"everywhere": {"epsilon": 2}}, "/everywhere/epsilon", "0 to 1"),
        ({"everywhere": {"scheme": "logged"}}, "/everywhere/scheme", "softmax"),
        ({"colour": 1}, "/colour", "known here: everywhere"),
    ],
)
def test_what_cannot_be_followed_is_refused(shop, body, pointer, said):
    """By its place, and with what is legal there."""
    response = shop.client.put("/v1/exploration", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
    assert said in response.json()["errors"][0]["detail"]


def test_what_was_saved_is_counted(shop):
    """As a metric of this process, and in the store for all of them."""
    for device in ("kiosk", "rich"):
        shop.recommend(session_id=device, context={"device": device})
    metrics = shop.client.get("/metrics").text
    told = shop.store.hgetall(keys.answers("bench"))
    assert 'sidearm_pre_policy_total{rule="kiosk"}' in metrics
    assert float(metrics.split("\nsidearm_arms_excluded_total ")[1].split()[0]) >= 1.0
    assert 0.0 < float(metrics.split("\nsidearm_saved_share ")[1].split()[0]) < 1.0
    until(lambda: b"pre_policy" in shop.store.hgetall(keys.answers("bench")))
    assert told.keys() <= {b"model", b"pre_policy", b"fallback", b"excluded"}


def test_answers_of_rules_may_be_sampled_for_the_log():
    """Each says with which probability it is logged; all are answered; rules are counted either way."""
    with platform(top=APP_RULES + "log_share = 0.3\n", files={"rules.py": RULES}, sidecar=False) as shop:
        answers = [shop.recommend(session_id=f"n{n}", context={"device": "kiosk"}).json() for n in range(60)]
        logged = [answer for answer in answers if answer["logged"]]
        events = [stored_event(shop, answer) for answer in logged]
        metrics = shop.client.get("/metrics").text
    assert {answer["arm"] for answer in answers} == {"777"}
    assert 2 < len(logged) < 40  # beyond it with probability below 1e-6
    assert {event.inclusion_probability for event in events} == {0.3}
    assert f'sidearm_decisions_shed_total{{reason="RULE"}} {60.0 - len(logged)}' in metrics
    assert 'sidearm_pre_policy_total{rule="kiosk"} 60.0' in metrics
    assert "sidearm_saved_share 1.0" in metrics
