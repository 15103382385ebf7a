"""Promotion, seen from outside: real processes, sessions over HTTP, and a champion that is out of date."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import ExitStack

import httpx
import pytest

from decision_service.cli.platform import free_port, started
from examples.settled import wait_until_learnt
from examples.shop.figures import Tally
from examples.shop.simulator import FOLDER, HORIZON_S, sessions
from examples.shop.traffic import Service, run_sessions
from policy_learner.models.history import read_kept
from sidecar.contracts.application import load_application
from sidecar.contracts.catalogue import load_catalogue
from sidecar.contracts.roster import Model, Roster
from sidecar.contracts.roster_changes import with_model
from sidecar.contracts.rostering import change_roster, read_roster
from sidecar.contracts.store import Scripts, connect
from tests.e2e.patient_shop import patient_shop
from tests.waiting import until

BEFORE, A_VISIT, MOST, PER_SECOND, CONCURRENCY, SHARE = 3_000, 1_000, 12_000, 500, 16, 0.2
APPLICATION = load_application(FOLDER)
CATALOGUE = load_catalogue(FOLDER, APPLICATION)


@pytest.fixture
def folder(tmp_path):
    """The shop, with promotion switched on."""
    folder = patient_shop(tmp_path / "shop")
    with (folder / "app.toml").open("a") as file:
        file.write("\n[promotion]\nautomatic = true\n")
    return folder


def visit(platform, first: int, count: int) -> None:
    """So many sessions, and their purchases."""
    service = Service("127.0.0.1", platform.port, platform.key, time.monotonic)
    tally = Tally(len(CATALOGUE.arms), HORIZON_S)
    asyncio.run(
        run_sessions(
            service,
            sessions(7, first, count),
            CATALOGUE.arms,
            tally,
            per_second=PER_SECOND,
            concurrency=CONCURRENCY,
            seed=7,
        )
    )
    assert not tally.failed
    assert len(tally.decided) == count


def out_of_date(version: int):
    """A roster whose champion is that version, and what the learner publishes its challenger."""

    def change(roster: Roster) -> Roster:
        old = with_model(roster, Model(name="old", role="champion", version=version))
        return with_model(old, Model(name="champion", role="challenger", share=SHARE))

    return change


@pytest.mark.slow
def test_what_was_learnt_takes_the_place_of_what_is_out_of_date(folder, data_folder):
    """An early version serves, the newest answers a fifth: it is promoted by itself, and the API says so."""
    with (
        started(folder, data_folder, port=free_port(), environ=os.environ) as platform,
        connect(platform.store_url) as client,
        ExitStack() as stack,
    ):
        visit(platform, 0, BEFORE)
        wait_until_learnt(client, APPLICATION, deadline_s=60.0, look=lambda _: platform.check())
        first = read_kept(client, "shop")[0].info.version
        change_roster(Scripts.on(client), "shop", out_of_date(first), "an old version serves")
        headers = {"authorization": f"Bearer {platform.key}"}
        http = stack.enter_context(httpx.Client(base_url=platform.url, headers=headers, timeout=10.0))
        until(lambda: {policy(http) for _ in range(20)} == {"old", "champion"})
        for first in range(BEFORE, BEFORE + MOST, A_VISIT):
            if read_roster(client, "shop").champion.name == "champion":
                break
            visit(platform, first, A_VISIT)
        until(lambda: read_roster(client, "shop").champion.name == "champion", 60.0)
        until(lambda: http.get("/v1/models").json()["promotions"])
        seen = http.get("/v1/models").raise_for_status().json()

    (promotion,) = seen["promotions"]
    roles = {one["name"]: (one["role"], one["share"]) for one in seen["models"]}
    assert roles == {"champion": ("champion", 0.0), "old": ("challenger", SHARE)}
    assert (promotion["kind"], promotion["champion"], promotion["predecessor"]) == (
        "promoted",
        "champion",
        "old",
    )
    assert 0.0 < promotion["contest"]["lower"] < promotion["contest"]["difference"]
    newest, old = sorted(seen["models"], key=lambda one: one["name"])
    assert newest["auc"] > 0.5
    assert newest["reward"] > old["reward"]


def policy(http: httpx.Client) -> str:
    """Which model answers a new session."""
    answer = http.post("/v1/recommendations", json={"session_id": f"s-{time.monotonic_ns()}"})
    return answer.raise_for_status().json()["policy"]
