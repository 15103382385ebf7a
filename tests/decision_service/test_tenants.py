"""Two applications with one store: neither sees or touches what the other has, through no endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.decision_service.platform import Platform, platform

SOME = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


class Pair:
    """Two tenants, and what the first has."""

    def __init__(self, first: Platform, second: Platform) -> None:
        self.first, self.second = first, second
        made = first.recommend(session_id="theirs", decision_id="key", deferred=True).json()
        first.reward(decision_id=made["decision_id"], event="view", reward_id="r")
        self.decision_id: str = made["decision_id"]
        self.before = first.decision(self.decision_id)
        self.numbers = count()
        self.operations = list(_operations(second))


def _operations(shop: Platform) -> Iterator[tuple[str, str]]:
    for path, methods in shop.client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            if operation.get("security"):
                yield method.upper(), path


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with platform(sidecar=False, name="first") as first:
        environ = {"REDIS_URL": first.store_server.url}
        with platform(sidecar=False, name="second", environ=environ) as second:
            yield Pair(first, second)


def said(response: httpx.Response, *ids: str) -> tuple[int, str]:
    """Status and body, less the ids that were asked with."""
    text = response.text
    for one in ids:
        text = text.replace(one, "ID")
    return response.status_code, text


BODIES = st.fixed_dictionaries(
    {},
    optional={
        "session_id": st.sampled_from(["theirs", "mine", "nobody's"]),
        "event": st.sampled_from(["view", "purchase"]),
        "horizon_s": st.just(60.0),
        "limit": st.integers(1, 4),
        "reward": st.floats(-1, 1),
    },
)


@SOME
@given(data=st.data(), body=BODIES)
def test_another_tenants_key_opens_nothing(pair: Pair, data: st.DataObject, body: dict[str, Any]):
    """Every endpoint, any body: as if the key were nobody's, to the last byte."""
    method, path = data.draw(st.sampled_from(pair.operations))
    path = path.replace("{decision_id}", pair.decision_id)
    theirs, nobodys = (
        pair.second.client.request(method, path, json=body, headers={"authorization": f"Bearer {key}"})
        for key in (pair.first.key, f"sk_{'0' * 64}")
    )

    assert theirs.status_code == 401
    assert said(theirs) == said(nobodys)


@SOME
@given(data=st.data(), body=BODIES)
def test_another_tenants_decision_is_nobodys(pair: Pair, data: st.DataObject, body: dict[str, Any]):
    """With a key of its own: who names another's decision is told what an unknown id is told."""
    shop = pair.second
    paths = [(method, path) for method, path in pair.operations if "{decision_id}" in path]
    method, path = data.draw(
        st.sampled_from([*paths, ("POST", "/v1/rewards"), ("POST", "/v1/rewards/batch")])
    )
    number = next(pair.numbers)
    theirs = pair.first.recommend(session_id=f"s-{number}", deferred=data.draw(st.booleans())).json()
    before = pair.first.decision(theirs["decision_id"])

    def ask(decision_id: str) -> tuple[int, str]:
        reward = {"decision_id": decision_id, "event": "view", "reward_id": f"t-{number}"} | {
            name: value for name, value in body.items() if name in ("session_id", "event", "reward")
        }
        sent = {"/v1/rewards": reward, "/v1/rewards/batch": {"rewards": [reward]}}.get(path, body)
        if path.endswith("/activate"):
            sent = {name: value for name, value in body.items() if name == "horizon_s"}
        response = shop.client.request(method, path.replace("{decision_id}", decision_id), json=sent)
        return said(response, decision_id)

    of_another, of_nobody = ask(theirs["decision_id"]), ask(f"{theirs['decision_id'][:13]}{number:016x}")

    assert of_another == of_nobody
    assert pair.first.decision(theirs["decision_id"]) == before


def test_sessions_and_clients_keys_are_each_tenants_own(pair: Pair):
    """The same session and key mean another decision; its rewards go there, and nowhere else."""
    mine = pair.second.recommend(session_id="theirs", decision_id="key", limit=2)
    assert mine.status_code == 201
    assert mine.json()["source"] != "repeat"
    receipt = pair.second.reward(
        session_id="theirs", decision_id="key", event="purchase", reward_id="x"
    ).json()
    by_session = pair.second.reward(session_id="theirs", event="purchase", reward_id="y").json()

    assert receipt["decision_id"] == by_session["decision_id"] == mine.json()["decision_id"]
    assert pair.first.decision(pair.decision_id) == pair.before


def test_no_key_of_the_store_is_shared(pair: Pair):
    """Every key carries its application's name."""
    pair.second.recommend(session_id="s")
    keys = [key.decode() for key in pair.first.store.scan_iter("*")]

    assert keys
    assert {key for key in keys if "first" not in key and "second" not in key} == set()


NAMES = ("theirs", "key", "sku-1", "quagga-arm", "champion", "r")
"""Of the first tenant: what the second one may guess."""
NAMED = frozenset({"decision_id", "session_id", "unit_id", "arm", "id", "reward_id", "name"})
SECRET = "quagga"
"""In everything that the first tenant has written down."""


@pytest.fixture(scope="module")
def written(pair: Pair) -> dict[bytes, bytes]:
    """All that the store has of the first tenant, who is not there: nobody but a stranger could change it."""
    first = pair.first
    made = first.recommend(session_id="theirs", unit_id=f"{SECRET}-unit", context={"pet": SECRET}).json()
    first.reward(decision_id=made["decision_id"], event="view", reward_id=f"{SECRET}-reward")
    segment = {"name": SECRET, "where": {"pet": [SECRET]}, "exploration": {"epsilon": 0.3}}
    exploration = {"everywhere": {"scheme": "epsilon_greedy"}, "segments": [segment]}
    for method, path, body in (
        ("PUT", f"/v1/arms/{SECRET}-arm", {"features": {"kind": SECRET}}),
        ("PUT", "/v1/exploration", exploration),
        ("PUT", f"/v1/models/{SECRET}", {"role": "shadow", "version": "live"}),
    ):
        response = first.client.request(method, path, json=body)
        assert response.status_code == 200, response.text
    assert first.service is not None
    first.service.stop()
    return of_first(first)


def of_first(first: Platform) -> dict[bytes, bytes]:
    """Every key of the first tenant with its bytes."""
    return {key: first.store.dump(key) for key in sorted(first.store.scan_iter("*first*"))}


def examples(pair: Pair) -> dict[tuple[str, str], Any]:
    """By operation, the body that its description shows; None where it has none."""
    paths = pair.second.client.get("/openapi.json").json()["paths"]
    bodies = {(m, p): paths[p][m.lower()].get("requestBody") for m, p in pair.operations}
    return {of: body and body["content"]["application/json"]["example"] for of, body in bodies.items()}


def renamed(data: st.DataObject, body: Any, names: st.SearchStrategy[str]) -> Any:
    """``body`` with some of its names replaced."""
    if isinstance(body, list):
        return [renamed(data, one, names) for one in body]
    if not isinstance(body, dict):
        return body
    found = {name: renamed(data, value, names) for name, value in body.items()}
    for name in sorted(NAMED & found.keys()):
        found[name] = data.draw(st.one_of(st.just(found[name]), names))
    return found


@pytest.mark.slow
@settings(SOME, max_examples=300)
@given(data=st.data())
def test_no_operation_shows_or_changes_what_another_tenant_has(
    pair: Pair, written: dict[bytes, bytes], data: st.DataObject
):
    """Whatever the description lists, with a key of one's own and the names of another's: not a byte."""
    bodies, names = examples(pair), st.sampled_from((pair.decision_id, *NAMES))
    method, path = operation = data.draw(st.sampled_from(pair.operations))
    head, _, rest = path.partition("{")
    target = head + data.draw(names) + rest.partition("}")[2] if rest else path
    body = renamed(data, bodies[operation], names)
    response = pair.second.client.request(method, target, json=body)

    assert response.status_code < 500 or response.status_code == 503, response.text
    shown = response.text
    for name in NAMES:
        shown = shown.replace(name, "")
    assert SECRET not in shown
    assert of_first(pair.first) == written
