"""The data of the pages Models, Arms and Graph: a real service and store, and names that are markup."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sidecar.contracts import keys
from sidecar.contracts.arm_sums import GRAINS, HOURS, field_of
from sidecar.contracts.contests import Promotion, Shown, encode_shown
from sidecar.contracts.course import Point as CoursePoint
from sidecar.contracts.course import Standing, encode_point
from sidecar.contracts.models import encode_info, info_of
from sidecar.contracts.roster import Model
from sidecar.contracts.roster_changes import promoted, with_model
from sidecar.contracts.rostering import change_roster
from sidecar.contracts.scripts.contests import contests_call
from sidecar.contracts.scripts.sums import Part, sums_call
from sidecar.contracts.store import Scripts
from tests.decision_service.platform import Platform, platform
from tests.decision_service.test_model_desk import CONTEST
from tests.decision_service.test_models_live import weights
from tests.waiting import until

HOSTILE = '"><script>alert(1)</script>'
FEATURES = """
from typing import TypedDict
from feature_graph import Graph, fetch, first_of


class Given(TypedDict):
    session_id: str
    candidates: tuple


@fetch(timeout=0.05, fallback="new")
async def band(session_id: str) -> str:
    if session_id.startswith("bad"):
        raise KeyError(session_id)
    return "old"


def shout(band: str) -> str:
    return band.upper()


def closed(candidates: tuple) -> list[str]:
    return ["777"]


graph = Graph(Given, band, shout, closed, either=first_of("band", "shout"))
goals = ("shout", "either")
first_look = ("closed",)
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform(sidecar=False, top='features = "features.py"', files={"features.py": FEATURES}) as made:
        yield made


@pytest.fixture(autouse=True)
def clean(shop):
    yield
    mine = [key for key in shop.store.keys("{bench}:*") if b":arms:" in key or b":w:" in key]
    shop.store.delete(keys.answers("bench"), *mine)


def page(shop, path):
    """With a query, so that it is no answer of a second ago."""
    name, _, query = path.partition("?")
    answer = shop.client.get(f"/v1/console/{name}?{query or 'now=1'}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def earned(n, rewarded, value=1.0, w=2.0):
    """Sums of ``n`` decisions of which some earned ``value``, each with a weight."""
    r, rr = rewarded * value, rewarded * value**2
    return [n, rewarded, n, r, n, r, rr, n * w, r * w, n * w * w, r * w * w, rr * w * w]


def put_sums(shop, hours):
    """Hours ago to arm and segment to sums, as the learner tells them."""
    now_ms, scripts = time.time_ns() // 1_000_000, Scripts.on(shop.store)
    for ago, sums in hours.items():
        at_ms = now_ms - ago * HOURS.ms
        numbers = {field_of(*pair): some for pair, some in sums.items()}
        parts = [Part(grain, at_ms // grain.ms, numbers) for grain in GRAINS]
        scripts.run(sums_call("bench", ago, "1-0", parts))


def test_arms_of_which_nothing_is_known(shop):
    """Nobody's horizon is over: no arm, no share, and what is offered is counted."""
    found = page(shop, "arms")
    assert (found["arms"], found["segments"], found["decisions"], found["unseen"]) == ([], [], 0, 4)
    assert found["shown"] == {"value": None, "lower": None, "upper": None}
    assert len(found["parts"]) == 25


def test_arms_have_their_share_and_their_reward_in_all_and_by_segment(shop):
    """Sums of hours are added up; an interval is given where there is enough for one."""
    put_sums(
        shop,
        {
            1: {("sku-1", ""): earned(300, 30), (HOSTILE, "night"): earned(10, 3)},
            3: {("sku-1", "night"): earned(90, 9)},
        },
    )
    found = page(shop, "arms?window=24h")
    first, second = found["arms"]
    assert (first["arm"], first["decisions"], first["share"], first["offered"]) == ("sku-1", 390, 0.975, True)
    assert first["shown"]["value"] == pytest.approx(0.1)
    spread = 1.959964 * (0.1 * 0.9 / 390) ** 0.5
    assert first["shown"]["upper"] - first["shown"]["value"] == pytest.approx(spread)
    assert (second["arm"], second["shown"]["lower"], second["offered"]) == (HOSTILE, None, False)
    assert [first["course"][-2], first["course"][-4]] == pytest.approx([300 / 310, 1.0])
    by_segment = [(one["segment"], one["arm"], one["share"]) for one in found["segments"]]
    assert by_segment == [("", "sku-1", 1.0), ("night", "sku-1", 0.9), ("night", HOSTILE, 0.1)]
    assert (found["decisions"], found["unseen"]) == (400, 3)
    assert page(shop, "arms?window=7d")["decisions"] == 400
    assert page(shop, "arms?window=3h")["decisions"] in (310, 400)  # three hours ago, to the five minutes


def test_a_window_that_is_none_is_refused(shop):
    answer = shop.client.get("/v1/console/arms?window=%3Cb%3E")
    assert (answer.status_code, "legal: 1h, 3h" in answer.text) == (422, True)


def test_models_have_their_line_their_versions_and_who_can_come_back(shop):
    """Beside what ``GET /v1/models`` has: everything that a dialog asks for."""
    scripts = Scripts.on(shop.store)
    shop.store.hset(keys.answers("bench"), mapping={"model": 6, "fallback": 2, "excluded": 9})
    shop.store.hset(
        keys.model_infos("bench"), "5", b"100|" + encode_info(info_of(weights(5), 9, "x", note=HOSTILE))
    )
    shop.store.hset(keys.model_infos("bench"), "6", b"no version")
    standing = Standing(10, 0.5, 0.1, 0.7)
    for at_ms in (1, 2):
        shop.store.lpush(keys.models_course("bench"), encode_point(CoursePoint(at_ms, {"": standing})))
    found = page(shop, "models")
    assert found["backstop"] == {"decisions": 2, "share": 0.25}
    assert found["courses"]["champion"] == {"at_ms": [1, 2], "reward": [0.5] * 2, "reward_error": [0.1] * 2}
    assert [(one["name"], one["note"]) for one in found["versions"]] == [("5", HOSTILE)]
    assert found["predecessor"] == ""
    bold = Model(name="bold", role="challenger", share=0.2)
    change_roster(scripts, "bench", lambda roster: promoted(with_model(roster, bold), "bold"), "by hand")
    assert page(shop, "models")["predecessor"] == "champion"
    told = Promotion(kind="promoted", champion="bold", predecessor="gone", contest=CONTEST)
    scripts.run(contests_call("bench", 1, b"state", encode_shown(Shown((), (CONTEST,), False, (told,)))))
    assert page(shop, "models")["predecessor"] == "champion"


def test_the_graph_is_told_with_what_its_nodes_took(shop):
    """Kinds, depths, looks, and how runs came out; a failure with its reason, as text."""
    for n in range(3):
        shop.recommend(session_id=f"s-{n}").raise_for_status()

    def seen():
        nodes = {one["name"]: one for one in page(shop, "graph")["nodes"]}
        return nodes if nodes["band"]["seen"] else None

    nodes = until(seen, what="the service tells what it saw of its graph")
    assert {name: (one["kind"], one["depth"], one["look"]) for name, one in nodes.items()} == {
        "candidates": ("input", 0, "first"),
        "session_id": ("input", 0, "second"),
        "band": ("fetch", 1, "second"),
        "closed": ("derived", 1, "first"),
        "shout": ("derived", 2, "second"),
        "either": ("first of", 3, "second"),
    }
    assert nodes["either"]["needs"] == [{"node": "band", "weak": False}, {"node": "shout", "weak": True}]
    assert (nodes["band"]["timeout_ms"], nodes["band"]["has_fallback"]) == (50.0, True)
    assert (nodes["closed"]["parts"], nodes["shout"]["parts"]) == (["excludes"], ["context feature"])
    assert nodes["band"]["outcomes"]["ok"] >= 1
    assert 0 < nodes["band"]["p50_ms"] <= nodes["band"]["p99_ms"]

    def troubled():
        shop.recommend(session_id=f"bad{HOSTILE}").raise_for_status()
        return next(one["trouble"] for one in page(shop, "graph")["nodes"] if one["name"] == "band")

    assert HOSTILE in until(troubled, what="a look at a run that failed")
    assert "flowchart" in page(shop, "graph")["mermaid"]


@pytest.mark.parametrize("path", ["models", "arms", "graph"])
def test_foreign_bytes_and_strangers(shop, path):
    """Where another kind of value lies the store cannot tell; without a key nothing is told."""
    of_path = {
        "models": keys.models_course("bench"),
        "arms": keys.arm_sums("bench", "h", time.time_ns() // (HOURS.ms * 1_000_000)),
        "graph": keys.nodes("bench"),
    }
    shop.store.delete(of_path[path])
    shop.store.set(of_path[path], "something else")
    assert shop.client.get(f"/v1/console/{path}").status_code in (200, 503)
    shop.store.delete(of_path[path])
    assert (
        shop.client.get(f"/v1/console/{path}", headers={"authorization": "Bearer sk_no"}).status_code == 401
    )
