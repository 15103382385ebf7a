"""Real processes of two releases over one store and one log, while the catalogue changes."""

from __future__ import annotations

from collections import Counter

import httpx
import msgspec
import pyarrow.dataset as ds
import pytest

from policy_learner.models.replay import replay
from sidecar.contracts import keys
from sidecar.contracts.application import load_application
from sidecar.contracts.events import decode_decision
from tests.decision_service.platform import Platform, another, platform, sidecar_get
from tests.parity import later_release
from tests.processes import Process
from tests.waiting import until

NOW, LATER = (), (later_release.MODULE,)
EACH = 20
HORIZON_MS = 3_600_000


@pytest.mark.slow
def test_processes_of_two_releases_run_side_by_side():
    """Services of both, before a later sidecar and an earlier learner and then the other way round.

    Each decision is made by a model, repeated by the other service, learnt once, and in the log as it was
    answered; replayed it comes out again to the bit.
    """
    with platform(sidecar=False) as shop, another(shop, *LATER) as later:
        answers = []
        for number, (sidecar, learner) in enumerate([(LATER, NOW), (NOW, LATER)]):
            running = [shop.start_of("sidecar.server", *sidecar), shop.start_of("policy_learner", *learner)]
            until(lambda: sidecar_get(shop, "/readyz")[0] == 200)
            shop.client.patch("/v1/arms/sku-1", json={"features": {"price": number}}).raise_for_status()
            until(lambda: agreed(later))
            answers += decided(number, [shop.client, later])
            close_all(shop, number, running[1])
            assert [process.stop() for process in reversed(running)] == [0, 0]

        as_answered(shop, answers)
        result = replay(load_application(shop.folder), shop.data)
        assert (result.told, result.counts["drawn"]) == ([], 2 * len(answers))


def agreed(client: httpx.Client) -> bool:
    seen = client.get("/v1/arms").json()
    return len(seen["replicas"]) == 2 and seen["agreed"]


def decided(number: int, services: list[httpx.Client]) -> list[dict]:
    """Two slots each; asked again and rewarded at the other service."""
    answers = []
    for n in range(EACH):
        one, other = services[n % 2], services[1 - n % 2]
        asked = {"session_id": f"s-{number}-{n}", "decision_id": "k", "limit": 2, "context": {"hour": n}}
        answer = one.post("/v1/recommendations", json=asked).raise_for_status().json()
        assert other.post("/v1/recommendations", json=asked).json() == {**answer, "source": "repeat"}
        reward = {"decision_id": answer["decision_id"], "arm": answer["ranking"][1]["arm"]}
        told = other.post("/v1/rewards", json={**reward, "event": "purchase"}).raise_for_status().json()
        assert told["status"] == "accepted"
        answers.append(answer)
    assert {answer["source"] for answer in answers} == {"model"}
    assert any(answer["model_version"] for answer in answers) == bool(number)
    return answers


def close_all(shop: Platform, number: int, learner: Process) -> None:
    """Their horizon ends, they are learnt, and a model of them is there."""
    shop.store.set(keys.app_skew("bench"), (number + 1) * (HORIZON_MS + 1))
    for partition in range(2):
        shop.store.set(keys.Keys("bench", partition).skew, (number + 1) * (HORIZON_MS + 1))

    def learnt() -> bool:
        return shop.store.hget(keys.learner_status("bench"), "examples") == b"%d" % (2 * EACH * (number + 1))

    learner.wait_until(learnt, 60.0, "learnt")


def as_answered(shop: Platform, answers: list[dict]) -> None:
    """A row a slot, as the callers were told, whichever release wrote it."""
    folder = shop.data.log("bench") / "decisions"
    rows = ds.dataset(folder, partitioning="hive").to_table().to_pylist()
    shown = {(row["decision_id"], row["slot"]): (row["arm"], row["propensity"]) for row in rows}
    assert shown == {
        (answer["decision_id"], slot): (told["arm"], told["probability"])
        for answer in answers
        for slot, told in enumerate(answer["ranking"])
    }
    assert Counter(row["reward"] for row in rows if row["slot"]) == {1.0: len(answers)}
    events = [row["event"] for row in rows if row["slot"] == 0]
    assert {len(decode_decision(event).slots) for event in events} == {1}
    assert len({len(msgspec.msgpack.decode(event)) for event in events}) == 2
