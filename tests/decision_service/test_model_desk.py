"""``GET /v1/models`` over real HTTP: roles from the store, figures from the learner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sidecar.contracts import keys
from sidecar.contracts.contests import (
    Contest,
    ModelFigures,
    Promotion,
    Shown,
    encode_shown,
)
from sidecar.contracts.learner_report import Progressive, WindowFigures, encode
from sidecar.contracts.roster import Model
from sidecar.contracts.roster_changes import with_model
from sidecar.contracts.rostering import change_roster
from sidecar.contracts.scripts.contests import contests_call
from sidecar.contracts.store import Scripts
from tests.decision_service.platform import Platform, platform

FIGURES = WindowFigures(examples=10, auc=0.75, snips=0.5, snips_error=0.1)
CONTEST = Contest(
    champion="champion",
    challenger="bold",
    verdict="better",
    decisions=1_000,
    effective=300.0,
    champion_value=0.1,
    challenger_value=0.2,
    difference=0.1,
    lower=0.01,
    upper=0.19,
    error=0.005,
    control_upper=0.3,
)


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform() as made:
        yield made


@pytest.fixture(autouse=True)
def clean(shop):
    yield
    shop.store.delete(keys.roster("bench"), keys.contests("bench"), keys.learner_status("bench"))


def test_the_one_model_has_the_learners_own_figures(shop):
    """Nobody deployed anything: the champion is what the learner publishes."""
    status = {"version": 12, "progressive": encode(Progressive(by_count=FIGURES))}
    shop.store.hset(keys.learner_status("bench"), mapping=status)
    seen = shop.client.get("/v1/models").json()
    (model,) = seen["models"]
    assert (model["name"], model["role"], model["version"], model["live"]) == (
        "champion",
        "champion",
        12,
        True,
    )
    assert (model["auc"], model["reward"], model["reward_error"]) == (0.75, 0.5, 0.1)
    assert (seen["revision"], seen["contests"], seen["promotions"], seen["automatic"]) == (0, [], [], False)


def test_each_model_has_what_the_learner_knows_of_it(shop):
    """Roles and shares as they are now; figures, contests and promotions as they were written last."""
    scripts, model = Scripts.on(shop.store), Model(name="bold", role="challenger", share=0.2)
    change_roster(scripts, "bench", lambda roster: with_model(roster, model), "deployed")
    promotion = Promotion(
        kind="promoted", champion="bold", predecessor="old", contest=CONTEST, at_ms=1_700_000_000_000
    )
    shown = Shown((ModelFigures("bold", 7, FIGURES),), (CONTEST,), True, (promotion,))
    scripts.run(contests_call("bench", 1, b"state", encode_shown(shown)))
    seen = shop.client.get("/v1/models").json()
    champion, bold = seen["models"]
    assert (bold["version"], bold["share"], bold["auc"], champion["auc"]) == (7, 0.2, 0.75, None)
    assert seen["contests"][0]["lower"] == 0.01
    assert seen["promotions"][0]["at"] == "2023-11-14T22:13:20.000Z"
    assert seen["automatic"] is True


def test_foreign_bytes_are_no_500(shop):
    """Of what the learner wrote nothing is known; a roster that is none is a store that cannot tell."""
    shop.store.hset(keys.contests("bench"), "shown", b"\xff")
    shop.store.hset(keys.learner_status("bench"), mapping={"version": b"\xff", "progressive": b"\xff"})
    assert shop.client.get("/v1/models").json()["models"][0]["auc"] is None
    shop.store.hset(keys.roster("bench"), "models", b"no roster")
    refused = shop.client.get("/v1/models")
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    shop.store.delete(keys.roster("bench"))
    shop.store.set(keys.roster("bench"), b"not even a hash")
    assert shop.client.get("/v1/models").status_code == 503
