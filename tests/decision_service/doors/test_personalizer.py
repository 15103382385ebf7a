"""Personalizer's door over real HTTP: what it answers, what becomes of it here, and how it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from decision_service.auth import load_keys, make_key, write_private
from sidecar.contracts.ids import partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.store import Scripts
from sidecar.contracts.upkeep import finalise_due
from tests.decision_service.platform import Platform, another, platform

pytestmark = pytest.mark.slow

RECORDED = [
    json.loads(line) for line in Path(__file__).with_name("personalizer.jsonl").read_text().splitlines()
]
CODES = {"401", "429", "BadRequest", "InvalidApiAccess", "InvalidEventIdToActivate", "InvalidRankRequest"}
CODES |= {
    "InvalidRewardRequest",
    "OperationNotAllowed",
    "PayloadSizeExceeded",
    "RequestTimeout",
    "ResourceNotFound",
}
ACTIONS = [{"id": name, "features": [{"kind": name}]} for name in ("a", "b", "c")]
V1, LATEST = "/personalizer/v1.0", "?api-version=2022-09-01-preview"


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform(aggregation="sum") as made:
        made.client.headers["ocp-apim-subscription-key"] = made.key
        del made.client.headers["authorization"]
        yield made


def rank(shop: Platform, **fields: Any) -> httpx.Response:
    return shop.client.post(f"{V1}/rank", json={"actions": ACTIONS, **fields})


def reward(shop: Platform, event_id: str, value: float, **headers: str) -> httpx.Response:
    path = f"{V1}/events/{quote(event_id, safe='')}/reward"
    return shop.client.post(path, json={"value": value}, headers=headers)


def activate(shop: Platform, event_id: str) -> httpx.Response:
    return shop.client.post(f"{V1}/events/{quote(event_id, safe='')}/activate")


def decisions(shop: Platform, event_id: str) -> dict[str, dict[str, Any]]:
    """What is stored of an event, by the client's key."""
    key = Keys("bench", partition_of_session(event_id, 2)).session(event_id)
    stored = {k.decode(): v.decode() for k, v in shop.store.hgetall(key).items()}
    headers = {"authorization": f"Bearer {shop.key}"}
    return {
        name[2:]: shop.client.get(f"/v1/decisions/{value.partition('|')[0]}", headers=headers).json()
        for name, value in stored.items()
        if name.startswith("k:")
    }


def error(response: httpx.Response) -> dict[str, Any]:
    """The body of a refusal, which is the documented one."""
    assert set(response.json()) == {"error"}
    found = response.json()["error"]
    assert {"code", "message"} <= set(found)
    assert found["code"] in CODES
    return found


@pytest.mark.parametrize(
    "line", RECORDED, ids=lambda line: f"{line['client']}-{line['code'] or line['status']}"
)
def test_what_the_clients_sent_is_answered_as_documented(shop, line):
    """Two hundred requests as the published clients wrote them, byte for byte but for the key."""
    headers = {**line["headers"], "ocp-apim-subscription-key": shop.key}
    response = shop.client.post(line["path"], content=line["body"].encode(), headers=headers)
    assert response.status_code == line["status"], response.text
    match line["status"]:
        case 204:
            assert response.content == b""
        case 400:
            assert error(response)["code"] == line["code"]
            assert line["says"] in error(response)["message"]
        case _:
            answered_well(json.loads(line["body"]), response.json())


def answered_well(asked: dict[str, Any], answer: dict[str, Any]) -> None:
    """As the specification has it."""
    ids = [action["id"] for action in asked["actions"]]
    assert answer["eventId"] == asked["eventId"]
    if "slots" in asked:
        shown = [slot["rewardActionId"] for slot in answer["slots"]]
        assert [slot["id"] for slot in answer["slots"]] == [slot["id"] for slot in asked["slots"]]
        assert len(set(shown)) == len(shown)
        assert set(shown) <= set(ids)
        for slot, action in zip(asked["slots"], shown, strict=True):
            assert action not in slot["excludedActions"]
        return
    excluded = set(asked.get("excludedActions", ()))
    ranking = [(one["id"], one["probability"]) for one in answer["ranking"]]
    assert sorted(name for name, _ in ranking) == sorted(ids)
    assert math.isclose(sum(probability for _, probability in ranking), 1.0)
    for place, (name, probability) in enumerate(ranking):
        assert (probability == 0) == (name in excluded)
        assert (ids[place] in excluded) == (name in excluded)
    assert answer["rewardActionId"] == next(name for name, _ in ranking if name not in excluded)


def test_an_event_is_a_decision_of_ours(shop):
    """Context and features are flat, the pmf is the answered one, and the reward is the event's."""
    context = [{"device": {"os": "ios", "_skip": 1}}, {"at": [1, 2.5], "new": None, "vip": True}]
    answer = rank(shop, eventId="ours", contextFeatures=context, excludedActions=["b"]).json()
    assert reward(shop, "ours", 0.25).status_code == 204
    [found] = decisions(shop, "ours").values()
    assert found["context"] == {"device.os": "ios", "at.0": 1.0, "at.1": 2.5, "new": "null", "vip": True}
    assert {arm["arm"]: arm["features"] for arm in found["arms"]} == {"a": {"kind": "a"}, "c": {"kind": "c"}}
    assert {a["arm"]: a["probability"] for a in found["arms"]} == {
        one["id"]: one["probability"] for one in answer["ranking"] if one["id"] != "b"
    }
    assert (found["session_id"], found["arm"], found["reward"]) == ("ours", answer["rewardActionId"], 0.25)


def test_the_same_event_again_is_the_same_answer_and_another_one_is_refused(shop):
    """Their service seeds its generator with the event's id; ours keeps the decision."""
    first, again = rank(shop, eventId="again"), rank(shop, eventId="again")
    assert (again.status_code, again.json()) == (201, first.json())
    other = rank(shop, eventId="again", contextFeatures=[{"x": 1}])
    assert (other.status_code, error(other)["code"]) == (400, "InvalidRankRequest")


def test_an_event_without_id_is_given_one(shop):
    """Two of them are two events."""
    one, other = rank(shop).json(), rank(shop, eventId=None).json()
    assert one["eventId"] != other["eventId"]
    assert len(one["eventId"]) == 32


def test_a_deferred_event_counts_when_it_is_activated(shop):
    """Its reward may come before; activating it twice is no harm; nor is one that nobody knows."""
    rank(shop, eventId="later", deferActivation=True)
    reward(shop, "later", 1.0)
    assert decisions(shop, "later")["later"]["state"] == "deferred"
    assert [activate(shop, "later").status_code for _ in range(2)] == [204, 204]
    assert activate(shop, "nobody").status_code == 204
    found = decisions(shop, "later")["later"]
    assert (found["state"], found["reward"]) == ("pending", 1.0)


def test_each_reward_is_summed_but_a_call_that_is_repeated(shop):
    """The client of 2022 sends its own id with every attempt of a call."""
    rank(shop, eventId="sum")
    for _ in range(2):
        reward(shop, "sum", 0.25)
        reward(shop, "sum", 0.5, **{"x-ms-client-request-id": "one"})
    assert decisions(shop, "sum")["sum"]["reward"] == 1.0


def test_a_reward_after_the_window_is_taken_and_not_learnt(shop):
    """204, as documented, and so is an activation; the reward is kept apart."""
    rank(shop, eventId="late")
    rank(shop, eventId="never", deferActivation=True)
    for event_id in ("late", "never"):
        keys = Keys("bench", partition_of_session(event_id, 2))
        shop.store.incrby(keys.skew, 3_600_000)
        while finalise_due(Scripts.on(shop.store), keys, tombstone_ms=86_400_000):
            pass
    assert reward(shop, "late", 1.0).status_code == 204
    assert activate(shop, "never").status_code == 204
    found = decisions(shop, "late")["late"]
    assert (found["reward"], [one["value"] for one in found["late_rewards"]]) == (0.0, [1.0])
    assert decisions(shop, "never")["never"]["state"] == "never_activated"


def test_slots_are_decisions_of_one_event(shop):
    """Each with the features of its place, its own reward, and activated together."""
    slots = [
        {"id": "top", "features": [{"size": "L"}], "excludedActions": ["a"], "baselineAction": "b"},
        {
            "id": "side",
            "positionFeatures": [{"size": "S"}],
            "excludedActions": ["b", "c"],
            "baselineAction": "a",
        },
    ]
    body = {"actions": ACTIONS, "slots": slots, "eventId": "page/1", "deferActivation": True}
    answer = shop.client.post(f"/personalizer/multislot/rank{LATEST}", json=body)
    assert answer.status_code == 201, answer.text
    path = "/personalizer/multislot/events/page%2F1"
    told = {"reward": [{"slotId": "top", "value": 0.5}, {"slotId": "side", "value": -1}]}
    assert shop.client.post(f"{path}/reward{LATEST}", json=told).status_code == 204
    assert shop.client.post(f"{path}/activate{LATEST}").status_code == 204
    found = decisions(shop, "page/1")
    assert {name: one["state"] for name, one in found.items()} == {"top": "pending", "side": "pending"}
    assert {name: one["reward"] for name, one in found.items()} == {"top": 0.5, "side": -1.0}
    assert found["top"]["context"] == {"slot": "top", "slot.size": "L"}
    assert found["side"]["arm"] == "a"


def test_no_slot_is_left_without_an_action(shop):
    """A choice that would leave nothing for a later slot is not offered; what cannot be filled is refused."""
    slots = [
        {"id": "any", "excludedActions": [], "baselineAction": "b"},
        {"id": "only-a", "excludedActions": ["b", "c"], "baselineAction": "a"},
    ]
    for number in range(12):
        body = {"actions": ACTIONS, "slots": slots, "eventId": f"fill-{number}"}
        shown = shop.client.post(f"/personalizer/multislot/rank{LATEST}", json=body).json()["slots"]
        assert shown[0]["rewardActionId"] != "a"
        assert shown[1]["rewardActionId"] == "a"
    slots[0] = {"id": "any", "excludedActions": ["c"], "baselineAction": "b"}
    slots.append({"id": "never", "excludedActions": ["a"], "baselineAction": "c"})
    ok = shop.client.post(f"/personalizer/multislot/rank{LATEST}", json={"actions": ACTIONS, "slots": slots})
    assert ok.status_code == 201
    slots[2]["excludedActions"] = ["a", "b"]
    slots[0]["excludedActions"] = ["a", "b"]
    slots[0]["baselineAction"] = "c"
    bad = shop.client.post(f"/personalizer/multislot/rank{LATEST}", json={"actions": ACTIONS, "slots": slots})
    assert (bad.status_code, error(bad)["code"]) == (400, "InvalidRankRequest")


@pytest.mark.parametrize(
    ("version", "query", "wait", "export"),
    [
        ("/v1.0", "", "01:00:00", "00:00:00.0500000"),
        ("/v1.1-preview.3", "", "PT1H", "PT0.05S"),
        ("", LATEST, "PT1H", "PT0.05S"),
    ],
)
def test_the_configuration_is_shown_in_the_words_of_each_version(shop, version, query, wait, export):
    """Time spans in 1.0, ISO durations later; the learning mode is of later versions."""
    found = shop.client.get(f"/personalizer{version}/configurations/service{query}").json()
    assert (found["rewardWaitTime"], found["modelExportFrequency"]) == (wait, export)
    assert (found["defaultReward"], found["rewardAggregation"]) == (0.0, "sum")
    assert math.isclose(found["explorationPercentage"], 1 - 0.9 * 0.99)
    assert ("learningMode" in found) == (version != "/v1.0")


ELSEWHERE = [
    ("PUT", "configurations/service"), ("GET", "configurations/policy"), ("DELETE", "model"),
    ("GET", "model/properties"), ("POST", "evaluations"), ("GET", "evaluations/x%2Fy"), ("DELETE", "logs"),
    ("PUT", "featureImportances/f"), ("POST", "logs/interactions"),
    ("POST", "configurations/applyFromEvaluation"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ELSEWHERE)
def test_what_is_done_otherwise_here_is_refused_in_kind(shop, method, path):
    """403, and what to do instead."""
    response = shop.client.request(method, f"/personalizer/{path}{LATEST}", content=b"{}")
    assert (response.status_code, error(response)["code"]) == (403, "InvalidApiAccess")
    assert "Not by this door: " in error(response)["message"]
    assert response.headers["x-ms-error-code"] == "InvalidApiAccess"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/personalizer/v9.9/rank", 404, "ResourceNotFound"),
        ("GET", f"{V1}/rank", 404, "ResourceNotFound"),
        ("POST", f"{V1}/multislot/rank", 404, "ResourceNotFound"),
        ("POST", f"{V1}/events/a/b/reward", 404, "ResourceNotFound"),
        ("POST", f"{V1}/events//reward", 400, "InvalidRewardRequest"),
        ("POST", f"{V1}/events/%0A/activate", 400, "InvalidEventIdToActivate"),
        ("POST", "/personalizer/rank", 400, "BadRequest"),
        ("POST", "/personalizer/rank?api-version=2099-01-01", 400, "BadRequest"),
        ("POST", "/personalizer/", 400, "BadRequest"),
    ],
)
def test_a_wrong_path_or_version_is_refused_in_kind(shop, method, path, status, code):
    """By path 404, by query 400."""
    response = shop.client.request(method, path, content=b"{}")
    assert (response.status_code, error(response)["code"]) == (status, code)


LONG = "e" * 257


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (f"events/{LONG}/reward", {"value": 1}, "InvalidRewardRequest"),
        (f"events/{LONG}/activate", None, "InvalidEventIdToActivate"),
        (
            f"multislot/events/{LONG}/reward",
            {"reward": [{"slotId": "a", "value": 1}]},
            "InvalidRewardRequest",
        ),
        ("multislot/events/e/reward", {"reward": [{"slotId": LONG, "value": 1}]}, "InvalidRewardRequest"),
        ("rank", {"actions": ACTIONS, "eventId": LONG}, "InvalidRankRequest"),
        ("rank", {"actions": [{"id": LONG, "features": [{"x": 1}]}]}, "InvalidRankRequest"),
        (
            "multislot/rank",
            {"actions": ACTIONS, "slots": [{"id": LONG, "baselineAction": "a"}]},
            "InvalidRankRequest",
        ),
    ],
)
def test_an_id_that_is_too_long_is_refused_wherever_it_stands(shop, path, body, code):
    """With the operation's code, in the header of the version of 2022 as well."""
    response = shop.client.post(f"/personalizer/{path}{LATEST}", json=body)
    assert (response.status_code, error(response)["code"]) == (400, code)
    assert response.headers["x-ms-error-code"] == code
    assert "1 to 256 characters" in error(response)["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"3", b"\xff", b'{"actions": 3}', b'{"actions": [3]}',
        b'{"actions": [null]}', b'{"actions": []}', b'{"actions": [{"id": 3}]}',
        b'{"actions": [{"id": "a", "features": [3]}]}', b'{"actions": [{"id": "a", "features": null}]}',
        b'{"actions": [{"id": "a", "features": [{"x": 1e300}]}]}',
        b'{"actions": [{"id": "a", "features": [{"x": NaN}]}]}',
        b'{"actions": [{"id": "a\\u0000", "features": [{"x": 1}]}]}',
        b'{"actions": [{"id": "a", "features": [{"x": 1}]}, {"id": "a", "features": [{"x": 1}]}]}',
        b'{"actions": [{"id": "a", "features": [{"x": 1}]}], "contextFeatures": [null]}',
        b'{"actions": [{"id": "a", "features": [{"x": 1}]}], "eventId": "a\\nb"}',
        b'{"actions": [{"id": "a", "features": [' + b'{"x":' * 40 + b"1" + b"}" * 40 + b"]}]}",
        b'{"actions": [{"id": "a", "features": ' + b"[" * 9000 + b"]" * 9000 + b"}]}",
        json.dumps({"actions": [{"id": "a", "features": [{f"f{n}": 1 for n in range(300)}]}]}).encode(),
        json.dumps({"actions": [{"id": "a", "features": [{"x" * 300: 1}]}]}).encode(),
        json.dumps({"actions": [{"id": "a" * 257, "features": [{"x": 1}]}]}).encode(),
    ],
    ids=range(24),
)  # fmt: skip
def test_a_body_that_is_no_rank_is_refused_in_kind(shop, body):
    """Whatever it is: 400 with a sentence, and the service goes on."""
    response = shop.client.post(f"{V1}/rank", content=body)
    assert (response.status_code, error(response)["code"] in {"InvalidRankRequest", "BadRequest"}) == (
        400,
        True,
    )
    assert shop.alive()


def test_keys_are_asked_for_as_there(shop):
    """None and a wrong one 401; one without the role 403; a bearer token will do."""
    secret, stored = make_key("rewards only", ("reward",), lambda size: "ab" * size)
    write_private(shop.data.keys, msgspec.json.encode((*load_keys(shop.data.keys), stored)))
    with another(shop) as other:
        url = str(other.base_url).rstrip("/")
        refusals = {"": (401, "401"), "sk_wrong": (401, "401"), secret: (403, "InvalidApiAccess")}
        for key, said in refusals.items():
            response = rank_with(url, {"ocp-apim-subscription-key": key})
            assert (response.status_code, error(response)["code"]) == said
            assert ("Ocp-Apim-Subscription-Key" in error(response)["message"]) == (said[0] == 401)
        assert rank_with(url, {"authorization": f"Bearer {shop.key}"}).status_code == 201


def rank_with(url: str, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(f"{url}{V1}/rank", json={"actions": ACTIONS}, headers=headers, timeout=30.0)


def test_a_body_over_the_limit_is_refused_in_kind(shop):
    """400, where ours is 413."""
    response = shop.client.post(f"{V1}/rank", content=b" " * (256 * 1024 + 1))
    assert (response.status_code, error(response)["code"]) == (400, "PayloadSizeExceeded")


def test_other_paths_are_what_they_were(shop):
    """Problems of ours, and no door where none is."""
    response = shop.client.post("/personalizers/v1.0/rank")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
