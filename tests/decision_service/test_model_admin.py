"""Models changed through the API: who may, what is refused, and that the change holds at once."""

from __future__ import annotations

import pytest

from sidecar.contracts import keys
from sidecar.contracts.weights import encode_weights
from tests.decision_service.platform import platform
from tests.decision_service.test_models_live import weights


@pytest.fixture(scope="module")
def shop():
    with platform() as started:
        yield started


@pytest.fixture(autouse=True)
def clean(shop):
    shop.store.hset(keys.model_records("bench"), "5", encode_weights(weights(5)))
    yield
    shop.store.delete(keys.roster("bench"), keys.deployed("bench"))


def put(shop, name, **fields):
    return shop.client.put(f"/v1/models/{name}", json=fields)


def roles(answer):
    return {one["name"]: one["role"] for one in answer.raise_for_status().json()["models"]}


def test_a_model_is_deployed_changed_promoted_and_undeployed(shop):
    deployed = put(shop, "bold", role="challenger", version="5", share=0.25, exploration={"epsilon": 0.3})
    assert roles(deployed) == {"champion": "champion", "bold": "challenger"}
    assert deployed.json()["models"][1]["exploration"]["epsilon"] == 0.3
    changed = shop.client.patch("/v1/models/bold", json={"share": 0.5, "wait_ms": 20}).json()["models"][1]
    assert (changed["share"], changed["wait_ms"], changed["version"]) == (0.5, 20, 5)
    shown = shop.client.get("/v1/models").json()["models"]
    assert {one["name"]: one["answers"] for one in shown} == {"champion": 0.5, "bold": 0.5}
    promoted = shop.client.post("/v1/models/bold/promote")
    assert roles(promoted) == {"champion": "challenger", "bold": "champion"}
    assert roles(shop.client.delete("/v1/models/champion")) == {"bold": "champion"}
    assert promoted.json()["revision"] == 3


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("Bold!", {"role": "shadow"}, "name is 'Bold!': legal is a letter"),
        ("bold", {"role": "shadow", "version": "99"}, "not all of these versions are kept"),
        ("bold", {"role": "shadow", "version": "latest"}, "version"),
        ("bold", {"role": "shadow", "share": 0.5}, "has no share"),
        ("bold", {"role": "challenger", "share": 1.5}, "share"),
        ("bold", {"role": "king"}, "role"),
        ("bold", {"role": "canary"}, "needs a version"),
        ("bold", {"role": "shadow", "container": "../../x"}, "container"),
        ("bold", {"role": "shadow", "extra": 1}, "extra"),
        ("champion", {"role": "shadow"}, "0 champions"),
    ],
)
def test_what_can_be_no_model_is_refused_and_changes_nothing(shop, name, fields, said):
    refused = put(shop, name, **fields)
    assert refused.status_code == 422
    assert said in refused.text
    assert roles(shop.client.get("/v1/models")) == {"champion": "champion"}


def test_a_model_that_is_not_there_is_not_found(shop):
    assert shop.client.delete("/v1/models/x").status_code == 404
    assert shop.client.patch("/v1/models/x", json={"share": 0.1}).status_code == 404
    assert shop.client.post("/v1/models/x/promote").status_code == 404
    assert shop.client.delete("/v1/models/champion").status_code == 422
    assert "nothing to change" in shop.client.patch("/v1/models/champion", json={}).text


def test_a_change_of_models_that_were_changed_since_is_refused(shop):
    put(shop, "a", role="shadow")
    refused = put(shop, "b", role="shadow", revision=0)
    assert (refused.status_code, put(shop, "b", role="shadow", revision=1).status_code) == (409, 200)


def test_only_an_admin_may_change_models(shop):
    for method, path in (("PUT", "a"), ("PATCH", "a"), ("DELETE", "a"), ("POST", "a/promote")):
        answer = shop.client.request(method, f"/v1/models/{path}", headers={"authorization": "Bearer sk_no"})
        assert answer.status_code == 401
