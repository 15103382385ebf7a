"""OFREP's door: OpenFeature's own SDKs get the arm, and raw requests every answer that the protocol has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.decision_service.doors import clients_js
from tests.decision_service.platform import ARMS, Platform, platform

pytestmark = pytest.mark.slow

FLAGS = """
[flags.price]
arms = ["sku-1", "sku-2"]
value = "price"
[flags.banner]
arms = ["red", "blue"]
[flags.rare]
arms = ["777"]
value = "colour"
bulk = false
"""
ONE, ALL = "/ofrep/v1/evaluate/flags/", "/ofrep/v1/evaluate/flags"
PRICES = {"sku-1": 1.0, "sku-2": 2.0}


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform(sections=FLAGS) as made:
        yield made


def ask(shop: Platform, path: str, target: object = "u-7", **more: Any) -> httpx.Response:
    context = ({} if target is None else {"targetingKey": target}) | more.pop("context", {})
    return shop.client.post(path, json={"context": context}, **more)


def test_the_python_sdk_gets_the_arm(shop):
    """Its value, its propensity, and the decision that a reward names."""
    from openfeature import api
    from openfeature.contrib.provider.ofrep import OFREPProvider
    from openfeature.evaluation_context import EvaluationContext

    api.set_provider(OFREPProvider(shop.url, headers_factory=lambda: {"Authorization": f"Bearer {shop.key}"}))
    client = api.get_client()
    context = EvaluationContext("py", {"device": "ios", "cart": {"items": 3}})
    details = client.get_string_details("bench", "nothing", context)
    price = client.get_float_details("price", -1.0, context)
    unknown = client.get_string_details("nowhere", "the default", context)
    api.shutdown()

    assert details.value in {arm["id"] for arm in ARMS}
    assert (details.value, details.reason) == (details.variant, "SPLIT")
    assert 0 < details.flag_metadata["propensity"] <= 1
    found = shop.decision(details.flag_metadata["decision_id"])
    assert (found["arm"], found["session_id"]) == (details.variant, "py")
    assert found["context"] == {"device": "ios", "cart.items": 3.0}
    assert price.value == PRICES[price.variant]
    assert (unknown.value, str(unknown.error_code.value)) == ("the default", "FLAG_NOT_FOUND")
    reward = {"decision_id": details.flag_metadata["decision_id"], "event": "purchase"}
    assert shop.reward(**reward).json()["status"] == "accepted"


def test_the_javascript_sdk_gets_the_arm(shop):
    """The same, by the other language's provider; what it tracks is that decision's reward."""
    source = clients_js.example("flags.md", "javascript", "class Sidearm")
    told = clients_js.told("openfeature.cjs", shop.url, shop.key, "js", stdin=source)
    text, number = told["text"], told["number"]
    assert text["value"] == text["variant"]
    found = shop.decision(text["flagMetadata"]["decision_id"])
    assert (found["arm"], found["context"]) == (text["variant"], {"device": "ios", "returning": True})
    assert [one["event"] for one in found["rewards"]] == ["purchase"]
    assert number["value"] == PRICES[number["variant"]]
    assert (told["unknown"]["value"], told["unknown"]["errorCode"]) == ("the default", "FLAG_NOT_FOUND")
    assert (told["nobody"]["value"], told["nobody"]["errorCode"]) == ("the default", "TARGETING_KEY_MISSING")


def test_an_evaluation_is_told_as_the_protocol_has_it(shop):
    """Every field, and metadata of text, numbers and booleans only."""
    response = ask(shop, f"{ONE}bench")
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"key", "value", "variant", "reason", "metadata"}
    assert body["key"] == "bench"
    assert set(body["metadata"]) == {
        "decision_id", "propensity", "policy", "policy_version", "source", "logged", "reward_until",
    }  # fmt: skip
    assert all(isinstance(value, str | float | int | bool) for value in body["metadata"].values())


def test_all_flags_are_told_once_while_they_are_good(shop):
    """With its tag a client is told 304 and no decision is made, until something is another one."""
    first = ask(shop, ALL, "bulk")
    tag = first.headers["etag"]
    told = {flag["key"]: flag for flag in first.json()["flags"]}
    assert set(told) == {"bench", "price", "banner"}
    assert told["banner"]["value"] in {"red", "blue"}

    before = decided(shop)
    again = ask(shop, ALL, "bulk", headers={"if-none-match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert decided(shop) == before
    for request in ({"target": "somebody"}, {"target": "bulk", "context": {"vip": True}}):
        assert ask(shop, ALL, headers={"if-none-match": tag}, **request).status_code == 200
    assert decided(shop) == before + 6

    shop.client.put("/v1/arms/new", json={"features": {"price": 9.0}}).raise_for_status()
    assert ask(shop, ALL, "bulk", headers={"if-none-match": tag}).status_code == 200
    assert shop.client.delete("/v1/arms/new").status_code == 200


def test_a_tag_is_over_when_its_decisions_are(shop):
    """What is shown afterwards would earn nothing."""
    tag = ask(shop, ALL, "over").headers["etag"]
    digest = tag.strip('"').partition(".")[0]
    for stale in (f'"{digest}.1700000000000"', f'"{digest}.x"', f'"{digest}."', f'"{digest}"', "*", ""):
        assert ask(shop, ALL, "over", headers={"if-none-match": stale}).status_code == 200


def decided(shop: Platform) -> float:
    lines = shop.client.get("/metrics").text.splitlines()
    return sum(float(one.split()[-1]) for one in lines if one.startswith("sidearm_decisions_total"))


@pytest.mark.parametrize(
    ("key", "body", "status", "code"),
    [
        ("nowhere", b'{"context": {"targetingKey": "u"}}', 404, "FLAG_NOT_FOUND"),
        ("bench", b'{"context": {}}', 400, "TARGETING_KEY_MISSING"),
        ("bench", b"{}", 400, "TARGETING_KEY_MISSING"),
        ("bench", b"{", 400, "PARSE_ERROR"),
        ("bench", b"", 400, "PARSE_ERROR"),
        ("bench", b'{"context": 3}', 400, "PARSE_ERROR"),
        ("bench", b'{"context": {"targetingKey": 3}}', 400, "INVALID_CONTEXT"),
        ("bench", b'{"context": {"targetingKey": "a\\nb"}}', 400, "INVALID_CONTEXT"),
        ("bench", b'{"context": {"targetingKey": "u", "": 1}}', 400, "INVALID_CONTEXT"),
        ("bench", b'{"context": {"targetingKey": "u", "x": 1e300}}', 400, "INVALID_CONTEXT"),
        (
            "bench",
            b'{"context": {"targetingKey": "u", "x":' + b'{"x":' * 40 + b"1" + b"}" * 42,
            400,
            "INVALID_CONTEXT",
        ),
        ("rare", b'{"context": {"targetingKey": "u"}}', 400, "GENERAL"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_kind(shop, key, body, status, code):
    """With the flag, the code and a sentence."""
    response = shop.client.post(f"{ONE}{key}", content=body)
    assert response.status_code == status, response.text
    assert (response.json()["key"], response.json()["errorCode"]) == (key, code)
    assert response.json()["errorDetails"]


def test_keys_and_methods_are_refused_in_kind(shop):
    """401, 405 with Allow, 404: a sentence, no code where the protocol has none; a key in its own header."""
    body = {"context": {"targetingKey": "u"}}
    nobody = httpx.post(f"{shop.url}{ONE}bench", json=body)
    assert (nobody.status_code, set(nobody.json())) == (401, {"errorDetails"})
    assert "send" in nobody.json()["errorDetails"]
    long = ask(shop, f"{ONE}bench", "u" * 257)
    assert (long.status_code, long.json()["errorDetails"].partition(":")[0]) == (400, "targetingKey")
    wrong = shop.client.get(f"{ONE}bench")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert shop.client.post("/ofrep/v2/evaluate/flags/bench").status_code == 404
    own = httpx.post(f"{shop.url}{ONE}bench", json=body, headers={"x-api-key": shop.key}, timeout=30.0)
    assert own.status_code == 200
