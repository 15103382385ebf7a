"""What breaks around the service, and what callers see: an answer with a true probability, or a clear 503."""

from __future__ import annotations

import json
import signal
import socket
import stat
from collections.abc import Iterator

import numpy as np
import pytest

from decision_service.__main__ import main
from decision_service.cli.store import start_store
from sidecar.contracts.scripts.publish import Publication, publish_call
from sidecar.contracts.store import Scripts, connect
from sidecar.contracts.weights import WeightsHeader, encode_weights, weights_of
from tests.decision_service.platform import Platform, platform
from tests.processes import Processes
from tests.waiting import until


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    """Whoever breaks something of it mends it."""
    with platform() as made:
        yield made


def test_without_the_sidecar_the_backstop_answers_with_its_own_probability(shop):
    """Killed: uniform over the eligible arms, logged as what it is; started again: the model is back."""
    assert shop.recommend().json()["source"] == "model"
    assert shop.sidecar is not None
    shop.sidecar.kill()

    answer = shop.recommend(exclude=["sku-1"], limit="all").json()
    found = shop.decision(answer["decision_id"])

    assert (answer["source"], answer["policy"], answer["model_version"]) == ("fallback", "backstop", 0)
    assert answer["probability"] == pytest.approx(1 / 3)
    assert [entry["score"] for entry in answer["ranking"]] == [0.0, 0.0, 0.0]
    assert (found["source"], found["probability"]) == ("fallback", answer["probability"])
    assert found["exploration"]["scheme"] == "uniform"
    assert 'sidearm_backstop_total{reason="SidecarFailed"}' in shop.client.get("/metrics").text
    shop.start_sidecar()
    until(lambda: shop.recommend().json()["source"] == "model")


def test_a_sidecar_that_hangs_costs_the_deadline_and_no_more(shop):
    """Stopped, not dead: the connection stands, and nothing comes. Awake again, it is used again."""
    assert shop.sidecar is not None
    shop.sidecar.child.send_signal(signal.SIGSTOP)
    try:
        sources = {shop.recommend(deadline_ms=20).json()["source"] for _ in range(10)}
    finally:
        shop.sidecar.child.send_signal(signal.SIGCONT)

    assert sources == {"fallback"}
    until(lambda: shop.recommend().json()["source"] == "model")


def test_without_the_store_answers_go_on_and_it_hears_of_them_later():
    """Killed: the model answers from memory, what happens is spooled; back: all of it is there, once."""
    with platform() as shop:
        before = shop.recommend(session_id="before").json()["decision_id"]
        shop.store_server.kill()

        asked = {"session_id": "s", "decision_id": "k"}
        answer = shop.recommend(**asked).json()
        assert (answer["source"], answer["logged"]) == ("model", True)
        assert shop.recommend(**asked).json() == {**answer, "source": "repeat"}
        assert shop.recommend(**asked, limit=2).status_code == 409
        assert shop.decision(answer["decision_id"])["state"] == "pending"
        receipts = [shop.reward(session_id="s", event="purchase", reward_id="r").json() for _ in range(2)]
        assert [(one["status"], one["spooled"]) for one in receipts] == [("accepted", True)] * 2
        late = shop.reward(decision_id=before, event="view").json()
        assert (late["status"], late["spooled"]) == ("accepted", True)
        assert shop.client.get("/readyz").status_code == 200
        metrics = shop.client.get("/metrics").text
        assert "sidearm_store_up 0.0" in metrics
        assert "sidearm_spool_records 4.0" in metrics
        with start_store(shop.data):
            until(lambda: "sidearm_spool_records 0.0" in shop.client.get("/metrics").text)
            found = shop.decision(answer["decision_id"])
            assert (found["arm"], found["probability"]) == (answer["arm"], answer["probability"])
            assert [reward["reward_id"] for reward in found["rewards"]] == ["r"]
            assert [reward["event"] for reward in shop.decision(before)["rewards"]] == ["view"]
            assert shop.recommend(**asked).json()["decision_id"] == answer["decision_id"]
            assert list(shop.data.spool("bench").glob("*/*.spool")) == []


def test_a_service_that_was_killed_comes_back_with_the_same_draw_and_decisions(shop):
    """kill -9: what it answered is in the store, and the secret of the draw is kept, for its owner only."""
    secret = shop.data.draw_secret.read_text()
    asked = {"session_id": "kept", "decision_id": "k"}
    before = shop.recommend(**asked).json()
    assert shop.service is not None
    shop.service.kill()
    shop.client.close()

    shop.start_service()

    assert shop.recommend(**asked).json() == {**before, "source": "repeat"}
    assert shop.data.draw_secret.read_text() == secret
    assert stat.S_IMODE(shop.data.draw_secret.stat().st_mode) == 0o600


def test_new_weights_are_served_without_a_restart(shop):
    """Version and scores of the answers change, and the greedy arm is the one the weights prefer."""
    published = publish(shop, version=1)

    until(lambda: shop.recommend().json()["model_version"] == 1)
    answer = shop.recommend(context={"hour": 21}, limit="all").json()
    found = shop.decision(answer["decision_id"])

    best = max(found["arms"], key=lambda entry: entry["score"])
    assert answer["ranking"][0]["arm"] == best["arm"]
    assert best["probability"] == pytest.approx(0.99 * (0.9 + 0.1 / 4) + 0.01 / 4)
    assert found["cold"] is False
    assert published.any()


def publish(shop: Platform, version: int) -> np.ndarray:
    header = WeightsHeader(
        version=version,
        bits=18,
        interactions=("ca",),
        positions=("0-0", "0-0"),
        trained_until_ms=0,
        epoch=1,
        examples=0,
    )
    values = np.random.default_rng(version).normal(size=2**18).astype(np.float32)
    record = encode_weights(weights_of(header, values))
    with connect(shop.store_server.url) as client:
        made = Publication(
            epoch=1, version=version, record=record, positions=("0-0",), examples=0, batches=(), checksum=""
        )
        assert Scripts.on(client).run(publish_call("bench", made)) == b"OK"
    return values


def test_overload_is_shed_from_the_log_and_said():
    """Too many pending: the answer comes, says that it is not logged, and promises no reward."""
    with platform(sidecar=False, top="[model]\nmax_pending = 1") as shop:
        answers = [shop.recommend(session_id="one").json() for _ in range(3)]

    assert [answer["logged"] for answer in answers] == [True, False, False]
    assert answers[1]["reward_until"] is None


FEATURES = """
import asyncio
from contextlib import asynccontextmanager
from typing import TypedDict
from feature_graph import Graph, fetch

class Given(TypedDict):
    session_id: str
    unit_id: str
    hour: float
    table: dict

async def segment(unit_id: str, table: dict) -> str:
    return table[unit_id]

@fetch(timeout=0.02, fallback=0.5)
async def slow(session_id: str) -> float:
    await asyncio.sleep(60)

def halved(slow: float) -> float:
    return slow / 2

def evening(hour: float) -> bool:
    return hour > 18

def odd(session_id: str) -> list:
    return [session_id]

@asynccontextmanager
async def clients():
    yield {"table": {"u-1": "regular"}}

graph = Graph(Given, segment, slow, halved, evening, odd)
goals = ("segment", "slow", "halved", "evening", "odd")
"""


OPENS_SLOWLY = """
import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict
from feature_graph import Graph

class Given(TypedDict):
    session_id: str

def same(session_id: str) -> str:
    return session_id

@asynccontextmanager
async def clients():
    folder = Path(__file__).parent
    (folder / "opening").touch()
    while not (folder / "open").exists():
        await asyncio.sleep(0.01)
    yield {}

graph = Graph(Given, same)
goals = ("same",)
"""


def test_a_service_that_is_stopped_while_it_starts_does_stop(tmp_path, data_folder, processes):
    """SIGTERM before it listens to signals is not lost: nobody would send a second one but kill -9."""
    (tmp_path / "app.toml").write_text('name = "slow"\nfeatures = "features.py"\n')
    (tmp_path / "arms.json").write_text('[{"id": "a"}]')
    (tmp_path / "features.py").write_text(OPENS_SLOWLY)
    environ = {"SIDEARM_DECISION_SERVICE_PORT": "0"}
    arguments = ("--app", tmp_path, "--data", data_folder.root)
    service = processes.start("decision_service", *arguments, environ=environ)
    service.wait_until((tmp_path / "opening").exists)

    service.child.send_signal(signal.SIGTERM)
    (tmp_path / "open").touch()

    assert service.exit_code() == 0, service.output()


def test_the_applications_graph_is_fetched_and_each_outcome_is_logged():
    """Fetched, fallen back, failed, unusable, given by the request: the log tells which is which."""
    files = {"features.py": FEATURES}
    with platform(sidecar=False, top='features = "features.py"', files=files) as shop:
        known = shop.recommend(session_id="k", unit_id="u-1", context={"hour": 21}).json()
        unknown = shop.recommend(session_id="n", unit_id="u-2", context={"hour": 3, "slow": 9}).json()
        found, other = shop.decision(known["decision_id"]), shop.decision(unknown["decision_id"])

    derived = {"segment": "regular", "slow": 0.5, "halved": 0.25, "evening": True}
    assert found["context"] == {"hour": 21.0, **derived}
    assert found["outcomes"] == {
        "hour": "given",
        "segment": "ok",
        "slow": "fallback",
        "halved": "fallback",
        "evening": "ok",
        "odd": "unusable",
    }
    assert (other["outcomes"]["segment"], other["outcomes"]["slow"]) == ("failed", "given")
    assert other["context"]["slow"] == 9.0
    assert "segment" not in other["context"]


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path)
    yield made
    assert made.stop_all() == []


@pytest.fixture
def signals():
    """What the process does at signals is put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


GOOD = 'name = "bench"\n[decision_service]\nport = 0\n'


@pytest.mark.parametrize(
    ("toml", "arms", "complaint"),
    [
        ("", '[{"id": "a"}]', "name"),
        (
            GOOD + "prot = 1",
            '[{"id": "a"}]',
            "unknown field `prot`; known here: host, port",
        ),
        (GOOD.replace("0", "99999"), '[{"id": "a"}]', "port"),
        (GOOD + 'draw_secret = "xyz"', '[{"id": "a"}]', "draw_secret"),
        (GOOD + "[reward]\nhorizon_s = 0", '[{"id": "a"}]', "horizon_s"),
        (GOOD + "[reward]\nhorizon_s = inf", '[{"id": "a"}]', "horizon_s is inf"),
        (GOOD + "[reward]\nhorizon_s = 3e6", '[{"id": "a"}]', "at most longest_horizon_s"),
        (GOOD + "[reward]\ndefault = nan", '[{"id": "a"}]', "default is nan: a finite number is legal"),
        (GOOD + "[reward]\nmaximum = inf", '[{"id": "a"}]', "maximum is inf"),
        (GOOD + "[reward]\nevents = {buy = nan}", '[{"id": "a"}]', "events.buy is nan"),
        (GOOD + "[reward]\nevents = {buy = 2e6}", '[{"id": "a"}]', "'buy' is worth 2e+06: legal are"),
        (GOOD + '[reward]\nmode = "hope"', '[{"id": "a"}]', "mode"),
        (
            GOOD + '[reward]\nmode = "assume"\n[model]\ncb_type = "ips"',
            '[{"id": "a"}]',
            'needs model.cb_type "mtr"',
        ),
        (GOOD + '[reward]\nmode = "assume"\nmax_per_decision = 257', '[{"id": "a"}]', "at most 256"),
        ("name = ", '[{"id": "a"}]', "is not TOML"),
        (GOOD, "[]", "lists no arm"),
        (GOOD, '[{"id": "a", "features": {"price": 1e10}}]', "features"),
        (GOOD, '[{"id": "a"}, {"id": "a"}]', "twice"),
        (GOOD, json.dumps([{"id": f"a-{n}"} for n in range(5_001)]), "lists 5,001 arms: at most 5,000"),
        (GOOD, "nonsense", "an arm is"),
        (GOOD, None, "does not exist"),
        ('features = "f.py"\n' + GOOD, '[{"id": "a"}]', "f.py does not exist"),
    ],
)
def test_a_bad_configuration_is_one_line_and_exit_code_2(tmp_path, capsys, signals, toml, arms, complaint):
    """Named with what is legal, and nothing is started."""
    (tmp_path / "app.toml").write_text(toml)
    if arms is not None:
        (tmp_path / "arms.json").write_text(arms)

    code = main(["--app", str(tmp_path), "--data", str(tmp_path / "data")], {})

    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert complaint in line


def test_a_data_folder_too_deep_for_a_socket_is_one_line_and_exit_code_2(tmp_path, processes):
    """And says what to shorten."""
    (tmp_path / "app.toml").write_text(GOOD)
    (tmp_path / "arms.json").write_text('[{"id": "a"}]')
    process = processes.start("decision_service", "--app", tmp_path, "--data", tmp_path / ("deep" * 30))

    assert process.exit_code() == 2, process.output()
    (line,) = process.output().splitlines()
    assert "shorten the data folder" in line


def test_a_port_that_is_taken_is_one_line_and_exit_code_2(tmp_path, processes):
    """And says which setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "app.toml").write_text(GOOD.replace("0", str(port)))
        (tmp_path / "arms.json").write_text('[{"id": "a"}]')
        process = processes.start("decision_service", "--app", tmp_path, "--data", tmp_path / "data")

        assert process.exit_code() == 2
    assert "SIDEARM_DECISION_SERVICE_PORT" in process.output()
    assert len(process.output().splitlines()) == 1
