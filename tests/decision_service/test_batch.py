"""Many recommendations in one call, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.decision_service.platform import Platform, platform


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform() as made:
        yield made


def ask(shop: Platform, *requests):
    return shop.client.post("/v1/recommendations/batch", json={"requests": list(requests)})


def test_each_request_is_a_decision_of_its_own(shop):
    """In order, logged, found again; slots as ever; scored by the model."""
    asked = [{"session_id": f"b-{n}", "limit": 1 + n % 3, "context": {"hour": n}} for n in range(300)]
    answer = ask(shop, *asked)

    assert answer.status_code == 200
    made = [result["recommendation"] for result in answer.json()["results"]]
    assert [one["session_id"] for one in made] == [one["session_id"] for one in asked]
    assert [len(one["ranking"]) for one in made] == [one["limit"] for one in asked]
    assert {one["source"] for one in made} == {"model"}
    assert len({one["decision_id"] for one in made}) == 300
    assert shop.decision(made[7]["decision_id"])["context"] == {"hour": 7.0}


def test_one_that_is_refused_touches_no_other(shop):
    """It has its problem, with pointers into the batch; a key used twice is one decision, or 409."""
    results = ask(
        shop,
        {"session_id": "ok"},
        {"session_id": "none", "arms": ["sku-1"], "exclude": ["sku-1"]},
        {"session_id": "twice", "arms": ["sku-1", "sku-1"]},
        {"session_id": "keyed", "decision_id": "k"},
        {"session_id": "keyed", "decision_id": "k"},
        {"session_id": "keyed", "decision_id": "k", "context": {"a": 1}},
    ).json()["results"]

    assert [list(result) for result in results] == [
        ["recommendation"], ["problem"], ["problem"], ["recommendation"], ["recommendation"], ["problem"],
    ]  # fmt: skip
    assert [results[n]["problem"]["status"] for n in (1, 2, 5)] == [422, 422, 409]
    assert results[2]["problem"]["errors"][0]["pointer"] == "/requests/2/arms/1"
    first, again = (results[n]["recommendation"] for n in (3, 4))
    assert again["decision_id"] == first["decision_id"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"requests": []}, "/requests"),
        ({"requests": [{"session_id": "s"}] * 501}, "/requests"),
        ({"requests": [{"session_id": "s"}, {}]}, "/requests/1/session_id"),
        ({"requests": [{"session_id": "s", "context": {"a": [1]}}]}, "/requests/0/context/a"),
        ({}, "/requests"),
    ],
)
def test_a_batch_that_breaks_its_schema_is_refused_whole(shop, body, pointer):
    """Before anything is decided, with the place of what is wrong."""
    answer = shop.client.post("/v1/recommendations/batch", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
