"""CloudEvents and trackers' events as rewards, sent by their published SDKs and by hand; each counts once."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from segment.analytics.client import Client as Tracker
from segment.analytics.request import APIError

from tests.decision_service.platform import Platform, platform

pytestmark = pytest.mark.slow

TRACK = """
[track."Order Paid"]
event = "purchase"
value = "revenue"
factor = 0.1
[track."com.shop.order.refunded"]
event = "refund"
"""
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform(aggregation="sum", sections=TRACK) as made:
        yield made


def decide(shop: Platform, session_id: str) -> str:
    return shop.recommend(session_id=session_id).json()["decision_id"]


def rewards(shop: Platform, decision_id: str) -> list[tuple[str, float, str]]:
    return [(r["event"], r["value"], r["reward_id"]) for r in shop.decision(decision_id)["rewards"]]


def an_event(number: str, kind: str = "com.shop.purchase", data: Any = None, **more: Any) -> CloudEvent:
    attributes = {"id": number, "source": "/orders", "type": kind, "specversion": "1.0", "time": AT, **more}
    return CloudEvent({**attributes, "datacontenttype": "application/json"}, data)


def send(shop: Platform, message: Any) -> httpx.Response:
    return shop.client.post("/v1/events", content=message.body, headers=dict(message.headers))


def test_one_event_in_three_forms_is_one_reward(shop):
    """Structured, binary and in a batch, as the SDK writes them: source and id are its key."""
    decision_id = decide(shop, "forms ü")
    event = an_event("1", subject="forms ü", data={"arm": "sku-1"})
    structured, binary = to_structured_event(event), to_binary_event(event)
    answers = [send(shop, structured), send(shop, binary)]
    batch = (
        b"["
        + structured.body
        + b","
        + to_structured_event(an_event("2", data={"decision_id": decision_id})).body
    )
    headers = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
    answers.append(shop.client.post("/v1/events", content=batch + b"]", headers=headers))

    assert [answer.status_code for answer in answers] == [202, 202, 202], [a.text for a in answers]
    assert [answer.json()["status"] for answer in answers[:2]] == ["accepted", "duplicate"]
    assert [one["status"] for one in answers[2].json()["events"]] == ["duplicate", "accepted"]
    assert rewards(shop, decision_id) == [("purchase", 1.0, "/orders#1"), ("purchase", 1.0, "/orders#2")]


def test_a_type_is_an_event_of_the_table_or_what_the_application_says(shop):
    """And nothing otherwise: a broker sends everything to everybody."""
    decision_id = decide(shop, "types")
    data = {"decision_id": decision_id}
    for number, kind in enumerate(
        ("view", "com.shop.order.refunded", "com.shop.stock.low", "org.other.refund")
    ):
        send(shop, to_structured_event(an_event(f"t{number}", kind, data)))
    assert [event for event, *_ in rewards(shop, decision_id)] == ["view", "refund", "refund"]
    ignored = send(shop, to_structured_event(an_event("t9", "com.shop.stock.low")))
    assert (ignored.status_code, ignored.json()["status"]) == (202, "ignored")


def test_data_are_a_reward_as_ours_is(shop):
    """With a value and a key of its own, in base64 as well."""
    decision_id = decide(shop, "data")
    data = {"decision_id": decision_id, "reward": 2.5, "reward_id": "order-7", "else": 1}
    event = json.loads(to_structured_event(an_event("d1", data=data)).body)
    event["data_base64"] = base64.b64encode(json.dumps(event.pop("data")).encode()).decode()
    headers = {"content-type": "application/cloudevents+json"}
    assert shop.client.post("/v1/events", json=event, headers=headers).json()["status"] == "accepted"
    assert rewards(shop, decision_id) == [("purchase", 2.5, "order-7")]


BAD = [
    {"specversion": "0.3"}, {"id": ""}, {"source": ""}, {"type": ""}, {"id": 3}, {"data": [1]}, {"data": {}},
    {"data": {"reward": "x"}}, {"data": {"session_id": "s", "reward": 1e9}}, {"data_base64": "?"},
    {"data_base64": "e30"}, {"subject": "a\nb", "data": {}},
]  # fmt: skip


@pytest.mark.parametrize("fault", BAD, ids=range(len(BAD)))
def test_an_event_at_fault_is_a_problem_and_does_not_touch_its_batch(shop, fault):
    """422 alone; in a batch it is told of, and the others are taken."""
    good = json.loads(to_structured_event(an_event("good", data={"session_id": "s"})).body)
    bad = {**good, "id": "bad", **fault}
    alone = shop.client.post("/v1/events", json=bad, headers={"content-type": "application/cloudevents+json"})
    assert alone.status_code == 422, alone.text
    assert alone.headers["content-type"] == "application/problem+json"
    if fault == {"id": 3}:
        return
    headers = {"content-type": "application/cloudevents-batch+json"}
    batch = shop.client.post("/v1/events", json=[bad, good], headers=headers)
    assert batch.status_code == 202
    first, second = batch.json()["events"]
    assert first["status"] == "refused"
    assert second["status"] in {"unknown", "duplicate"}


def test_what_is_no_cloudevent_is_refused(shop):
    """Other content, other data, another method, no key."""
    for headers, body in (({}, b"{}"), ({"content-type": "application/cloudevents+json"}, b"{"), ({}, b"")):
        assert shop.client.post("/v1/events", content=body, headers=headers).status_code == 422
    binary = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "view"}
    xml = shop.client.post("/v1/events", content=b"<a/>", headers={**binary, "content-type": "text/xml"})
    assert xml.status_code == 422
    assert shop.client.get("/v1/events").status_code == 405
    assert httpx.post(f"{shop.url}/v1/events", content=b"{}").status_code == 401


def tracker(shop: Platform, **more: Any) -> Tracker:
    errors: list[Exception] = []

    def fail(error: Exception, batch: list[Any]) -> None:
        errors.append(error)

    made = Tracker(shop.key, host=shop.url, on_error=fail, sync_mode=True, max_retries=0, **more)
    made.errors = errors
    return made


@pytest.mark.parametrize("packed", [False, True])
def test_segments_own_client_posts_rewards(shop, packed):
    """With its host and its write key changed: an order counts once, revenue is the reward if asked."""
    session = f"segment-{packed}"
    decision_id = decide(shop, session)
    client = tracker(shop, gzip=packed)
    client.identify(session, {"plan": "free"})
    client.track(session, "Product Viewed", {"product_id": "sku-1"})
    for _ in range(2):
        client.track(
            session, "Order Paid", {"order_id": "o-1", "revenue": 25.0, "products": [{"sku": "sku-1"}]}
        )
    client.track(session, "Something Else", {})
    client.track(None, "Order Completed", {"order_id": 77, "decision_id": decision_id}, anonymous_id="nobody")
    assert client.errors == []
    found = [(event, value, key if "#" in key else "") for event, value, key in rewards(shop, decision_id)]
    assert found == [("view", 0.0, ""), ("purchase", 2.5, "purchase#o-1"), ("purchase", 1.0, "purchase#77")]


def test_a_wrong_write_key_is_told(shop):
    """The tracker's own error, with our code."""
    client = tracker(shop)
    client.write_key = "sk_wrong"
    with pytest.raises(APIError) as error:
        client.track("u", "Order Completed", {})
    assert (error.value.status, error.value.code) == (401, "NotAuthenticated")


def post(shop: Platform, path: str, body: Any, **headers: str) -> httpx.Response:
    return shop.client.post(path, content=json.dumps(body).encode(), headers=headers)


def test_one_message_is_answered_for_itself(shop):
    """Taken, ignored or refused; the same message again counts once."""
    decision_id = decide(shop, "one")
    message = {"userId": "one", "event": "Order Refunded", "messageId": "m-1", "timestamp": "yesterday"}
    answers = [post(shop, "/v1/track", message).json() for _ in range(2)]
    assert [one["status"] for one in answers] == ["accepted", "duplicate"]
    assert rewards(shop, decision_id) == [("refund", -1.0, "m-1")]
    assert post(shop, "/v1/page", {"userId": "one"}).json() == {"success": True, "status": "ignored"}
    paid = {"userId": "one", "event": "Order Paid"}
    for bad in (
        {"event": "Order Completed"},
        {**paid, "messageId": "m"},
        {"properties": 3},
        [1],
        {**paid, "userId": []},
    ):
        refused = post(shop, "/v1/track", bad)
        assert (refused.status_code, refused.json()["success"]) == (400, False), refused.text
    assert shop.client.get("/v1/track").status_code == 405


def test_a_message_at_fault_does_not_touch_its_batch(shop):
    """It is told by its place."""
    decision_id = decide(shop, "batch")
    good = {"type": "track", "userId": "batch", "event": "Product Viewed", "messageId": "g"}
    bad = {"type": "track", "userId": "batch", "event": "Order Paid", "messageId": "b"}
    answer = post(shop, "/v1/batch", {"batch": [bad, good, {"type": "identify", "userId": "batch"}]})
    assert answer.status_code == 200
    assert [one["message"] for one in answer.json()["refused"]] == [0]
    assert [event for event, *_ in rewards(shop, decision_id)] == ["view"]


def test_packed_bodies_are_no_bombs(shop):
    """A short body that unpacks to a gigabyte is refused after a megabyte; broken ones too."""
    bomb = gzip.compress(b" " * (8 * 1024 * 1024))
    headers = {"content-encoding": "gzip"}
    assert shop.client.post("/v1/batch", content=bomb, headers=headers).status_code == 413
    assert shop.client.post("/v1/batch", content=b"\x1f\x8b broken", headers=headers).status_code == 400
    assert shop.client.post("/v1/batch", content=b"{}", headers=headers).status_code == 400


def test_products_are_arms_where_arms_have_rewards_of_their_own():
    """One reward a product, each to the decision that showed it."""
    with platform(reward='attribution = "arm"', sidecar=False) as shop:
        one = shop.recommend(session_id="s", arms=["sku-1"]).json()["decision_id"]
        other = shop.recommend(session_id="s", arms=["sku-2"]).json()["decision_id"]
        products = [{"product_id": "sku-1"}, {"product_id": "sku-2"}, {"product_id": "sku-1"}]
        message = {
            "userId": "s",
            "event": "Order Completed",
            "properties": {"order_id": "9", "products": products},
        }
        assert post(shop, "/v1/track", message).json()["status"] == "accepted"
        assert [rewards(shop, decision_id) for decision_id in (one, other)] == [
            [("purchase", 1.0, "purchase#9#sku-1")],
            [("purchase", 1.0, "purchase#9#sku-2")],
        ]
