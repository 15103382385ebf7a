"""The catalogue while the platform runs: changed over HTTP, followed by every service, kept over restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest

from sidecar.contracts import keys
from sidecar.contracts.catalogue import decode_arms
from tests.decision_service.platform import ARMS, Platform, another, platform
from tests.decision_service.test_service import stored_event
from tests.waiting import until

IDS = [arm["id"] for arm in ARMS]


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    """What answers is no matter here."""
    with platform(sidecar=False) as made:
        yield made


@pytest.fixture
def shop(running) -> Platform:
    """With the arms of its file again."""
    now = arms_of(running.client)
    gone = [arm for arm in now if arm not in IDS]
    running.client.post("/v1/arms", json={"put": ARMS, "retire": gone}).raise_for_status()
    return running


def arms_of(client: httpx.Client) -> dict[str, dict]:
    return {arm["id"]: arm["features"] for arm in client.get("/v1/arms").raise_for_status().json()["arms"]}


def eligible(shop: Platform) -> set[str]:
    return {one["arm"] for one in shop.recommend(limit="all").json()["ranking"]}


def test_arms_are_added_repriced_and_retired(shop):
    """The next decision is made with the new version, and names it; earlier ones name theirs."""
    before = shop.recommend(session_id="before").json()
    first = stored_event(shop, before).catalogue

    added = shop.client.put("/v1/arms/new%2F1", json={"features": {"price": 9.5}}).json()
    priced = shop.client.patch("/v1/arms/sku-1", json={"features": {"price": 0.5, "kind": None}}).json()
    retired = shop.client.delete("/v1/arms/777").json()

    assert (added["before"], added["arms"]) == (first, 5)
    assert (priced["before"], retired["before"]) == (added["version"], priced["version"])
    assert eligible(shop) == {"sku-1", "sku-2", "a/b %2F", "new/1"}
    assert arms_of(shop.client)["sku-1"] == {"price": 0.5}
    assert arms_of(shop.client)["new/1"] == {"price": 9.5}
    event = stored_event(shop, shop.recommend(session_id="after").json())
    assert event.catalogue == retired["version"]
    stored = shop.store.hget(keys.catalogues("bench"), event.catalogue)
    assert [arm.id for arm in decode_arms(stored)] == ["sku-1", "sku-2", "a/b %2F", "new/1"]
    again = shop.decision(before["decision_id"])
    assert [arm["arm"] for arm in again["arms"]] == IDS


def test_several_changes_are_one_version(shop):
    """All of them, or none: a retired arm that is not there refuses the whole."""
    change = {
        "put": [{"id": "x"}],
        "change": [{"id": "sku-2", "features": {"sale": True}}],
        "retire": ["sku-1"],
        "reason": "summer",
    }
    changed = shop.client.post("/v1/arms", json=change).json()
    refused = shop.client.post("/v1/arms", json={"put": [{"id": "y"}], "retire": ["sku-1"]})

    seen = shop.client.get("/v1/arms").json()
    assert (seen["version"], seen["serving"], seen["reason"]) == (changed["version"],) * 2 + ("summer",)
    assert [arm["id"] for arm in seen["arms"]] == ["sku-2", "a/b %2F", "777", "x"]
    assert refused.status_code == 422
    assert "sku-1" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("DELETE", "/v1/arms/nobody", None, 404),
        ("PATCH", "/v1/arms/nobody", {"features": {"price": 1}}, 404),
        ("POST", "/v1/arms", {"retire": IDS}, 422),
        ("POST", "/v1/arms", {}, 422),
        ("POST", "/v1/arms", {"put": [{"id": "x"}], "retire": ["x"]}, 422),
        ("POST", "/v1/arms", {"put": [{"id": f"n-{n}"} for n in range(4_997)]}, 422),
        ("POST", "/v1/arms", {"put": [{"id": "x"}], "version": "0" * 16}, 409),
        ("PUT", "/v1/arms/x", {"features": {"price": 1e300}}, 422),
        ("PUT", "/v1/arms/x", {"feature": {}}, 422),
        ("PUT", f"/v1/arms/{'x' * 300}", {}, 422),
        ("POST", "/v1/arms/x", {}, 405),
    ],
)
def test_what_a_catalogue_cannot_take_changes_nothing(shop, method, path, body, status):
    """A problem that says what is legal; the version stays."""
    before = shop.client.get("/v1/arms").json()["version"]
    answer = shop.client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert shop.client.get("/v1/arms").json()["version"] == before


async def test_changes_at_once_are_all_there(shop):
    """Twenty callers, each with an arm of its own: none undoes another's."""
    headers = {"authorization": f"Bearer {shop.key}"}
    async with httpx.AsyncClient(base_url=shop.url, headers=headers, timeout=30.0) as client:
        answers = await asyncio.gather(*(client.put(f"/v1/arms/n-{n}", json={}) for n in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert set(arms_of(shop.client)) == {*IDS, *(f"n-{n}" for n in range(20))}


def test_every_service_follows_and_says_what_it_serves(shop):
    """A change at one is served by the other; and a look tells who agrees."""
    with another(shop) as other:
        changed = other.put("/v1/arms/new", json={}).json()

        def agreed():
            seen = shop.client.get("/v1/arms").json()
            return len(seen["replicas"]) == 2 and seen["agreed"] and seen

        seen = until(agreed)

    assert seen["serving"] == seen["version"] == changed["version"]
    assert {one["version"] for one in seen["replicas"]} == {changed["version"]}
    assert "sidearm_catalogue_behind 0.0" in shop.client.get("/metrics").text


def test_a_version_whose_arms_are_gone_is_said_not_served(shop):
    """The last good catalogue goes on; metric and look say so; it ends when the next change comes."""
    shop.recommend(session_id="warm")
    shop.store.hset(keys.arms_now("bench"), "version", "f" * 16)

    def behind():
        return "sidearm_catalogue_behind 1.0" in shop.client.get("/metrics").text

    until(behind)
    seen = shop.client.get("/v1/arms").json()
    assert (seen["agreed"], seen["version"]) == (False, "f" * 16)
    assert eligible(shop) == set(IDS)
    shop.store.hset(keys.arms_now("bench"), "version", seen["serving"])


@pytest.mark.slow
def test_a_live_catalogue_outlives_its_services_and_a_new_file_replaces_it():
    """The same file again undoes nothing; one never seen is put in place; an old one is not put back."""
    with platform(sidecar=False) as made:
        _with_other_files(made)


def _with_other_files(shop):
    shop.client.put("/v1/arms/new", json={}).raise_for_status()
    with another(shop) as other:
        assert set(arms_of(other)) == {*IDS, "new"}

    file = shop.folder / "arms.json"
    old = file.read_text()
    file.write_text(json.dumps([{"id": "only"}]))
    with another(shop) as other:
        assert set(arms_of(other)) == {"only"}
        until(lambda: eligible(shop) == {"only"})
    file.write_text(old)
    with another(shop) as other:
        assert set(arms_of(other)) == {"only"}


def test_an_emptied_store_is_told_what_is_served(shop):
    """Whoever runs still has the arms: the catalogue is back, as it was."""
    version = shop.client.put("/v1/arms/new", json={}).json()["version"]
    shop.store.flushall()
    known = until(lambda: shop.store.hget(keys.arms_now("bench"), "version"))
    assert known.decode() == version
    assert until(lambda: shop.store.hexists(keys.catalogues("bench"), version))
    assert set(arms_of(shop.client)) == {*IDS, "new"}
    with another(shop) as other:
        assert set(arms_of(other)) == {*IDS, "new"}
