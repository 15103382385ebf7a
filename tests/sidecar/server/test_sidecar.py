"""The model container as a process: it scores, follows the weights, refuses bad ones, and stops in order."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import redis

from decision_service.cli.store import EmbeddedStore, start_store
from sidecar.contracts import keys
from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.deltas import Summed, encode_delta, summed
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.scripts.publish import Publication, publish_call
from sidecar.contracts.store import Scripts, connect
from sidecar.contracts.weights import Weights, WeightsHeader, encode_weights, weights_of
from sidecar.contracts.wire import ScoreRequest, ScoreResponse, ScoreRow, decode_response, encode
from sidecar.policy import pipeline
from sidecar.policy.held_arms import ArmTables
from tests.decision_service.platform import ask_sidecar
from tests.processes import Process, Processes
from tests.waiting import until

CATALOGUE = catalogue_of((Arm("a", {"price": 1.0}), Arm("b", {"price": 2.0}), Arm("c")))
BITS = 10


class Container:
    """The sidecar of one small application, with a store of its own."""

    def __init__(self, folder: Path, processes: Processes, store: EmbeddedStore) -> None:
        self.folder = folder
        self.data = DataFolder(folder / "data")
        self.socket = self.data.sidecar_socket("small")
        self.processes = processes
        self.store = store
        self.process: Process | None = None

    def start(self, ready: bool = True) -> Process:
        process = self.processes.start("sidecar.server", "--app", self.folder, "--data", self.data.root)
        if ready:
            self.process = process
            process.wait_until(lambda: self.get("/readyz")[0] == 200)
        return process

    def get(self, path: str) -> tuple[int, str]:
        return ask_sidecar(self.socket, "GET", path)[:2]

    def post(self, body) -> tuple[int, str, bytes]:
        return ask_sidecar(self.socket, "POST", "/v1/score", body)

    def score(self, request: ScoreRequest) -> ScoreResponse:
        status, text, content = self.post(encode(request))
        assert status == 200, text
        return decode_response(content)

    def metric(self, name: str) -> float:
        lines = self.get("/metrics")[1].splitlines()
        return next((float(line.split()[1]) for line in lines if line.split()[0] == name), 0.0)

    def publish(self, version: int, *, record: bytes | None = None, epoch: int = 1, seed: int = 0) -> Weights:
        weights = weights_at(version, epoch, seed)
        with connect(self.store.url) as client:
            call = publish_call(
                "small",
                Publication(
                    epoch=epoch,
                    version=version,
                    record=encode_weights(weights) if record is None else record,
                    positions=("0-0",),
                    examples=0,
                    batches=(),
                    checksum="",
                ),
            )
            assert Scripts.on(client).run(call) == b"OK"
        return weights

    def serves(self, version: int) -> bool:
        return self.metric("sidearm_weights_version") == version


def weights_at(version: int, epoch: int, seed: int) -> Weights:
    header = WeightsHeader(
        version=version,
        bits=BITS,
        interactions=("ca",),
        positions=("0-0",),
        trained_until_ms=1_700_000_000_000,
        epoch=epoch,
        examples=0,
    )
    values = np.random.default_rng([version, seed]).normal(size=2**BITS).astype(np.float32)
    return weights_of(header, values)


def request(*, with_arms: bool = True) -> ScoreRequest:
    rows = (
        ScoreRow({"hour": 21.0, "device": "ios"}),
        ScoreRow({"hour": 3.0}, (2, 0)),
        ScoreRow({}, None, (Arm("new", {"price": 9.0}), Arm("a"))),
    )
    arms = CATALOGUE.arms if with_arms else ()
    return ScoreRequest(rows, (Exploration(),), CATALOGUE.version, arms)


@contextmanager
def small() -> Iterator[Container]:
    folder = Path(tempfile.mkdtemp(prefix="sidearm-", dir="/tmp"))
    (folder / "app.toml").write_text(
        'name = "small"\n[sidecar]\npoll_s = 0.5\nblock_ms = 200\nretry_s = 0.05\nmax_body_bytes = 16384\n'
    )
    (folder / "arms.json").write_text(json.dumps([{"id": arm.id} for arm in CATALOGUE.arms]))
    processes = Processes(folder)
    with start_store(DataFolder(folder / "data")) as store:
        yield Container(folder, processes, store)
        assert processes.stop_all() == []
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def container() -> Iterator[Container]:
    """One that the test may start, kill and configure."""
    with small() as made:
        yield made


@pytest.fixture(scope="module")
def steady() -> Iterator[Container]:
    """One that runs, and that nobody publishes to."""
    with small() as made:
        made.start()
        made.score(request())
        yield made


def test_it_answers_what_the_pipeline_says_to_the_last_bit(container):
    """Three forms of a row in one batch: the whole catalogue, places in it, and arms of its own."""
    container.start()
    weights = container.publish(1)
    until(lambda: container.serves(1))

    assert container.score(request()) == pipeline.score(request(), weights, ArmTables())


def test_it_asks_for_a_table_it_does_not_hold(container):
    """409 once; afterwards the version is enough."""
    container.start()

    assert container.post(encode(request(with_arms=False)))[0] == 409
    container.score(request())
    assert len(container.score(request(with_arms=False)).rows) == 3


def test_without_weights_it_is_ready_and_says_that_it_is_cold(steady):
    """Scores are zero and every arm is alike."""
    response = steady.score(request())

    assert (response.cold, response.model_version) == (True, 0)
    assert np.frombuffer(response.rows[0].scores, "<f4").tolist() == [0.0, 0.0, 0.0]


def test_bad_weights_are_refused_and_the_last_good_go_on(container):
    """Cut, altered, empty: each is counted and named in the log; the next good ones are taken."""
    container.start()
    good = container.publish(1)
    until(lambda: container.serves(1))
    record = encode_weights(weights_at(2, 1, 0))
    altered = bytearray(record)
    altered[len(record) // 2] ^= 1

    for version, bad in ((2, record[: len(record) // 2]), (3, bytes(altered)), (4, b"")):
        container.publish(version, record=bad)
        until(lambda: refusals_told(container) == version - 1)  # noqa: B023 - asked at once
        assert container.metric("sidearm_weights_refused_total") >= version - 1
        assert container.score(request()) == pipeline.score(request(), good, ArmTables())

    container.publish(5)
    until(lambda: container.serves(5))
    assert refusals_told(container) == 3


def refusals_told(container: Container) -> int:
    """Different ones: each look at the same bad weights is counted, and told once."""
    assert container.process is not None
    return container.process.output().count("weights refused")


def test_weights_corrupted_in_place_change_nothing(container):
    """Somebody writes rubbish over the record: what is in memory is served on."""
    container.start()
    good = container.publish(1)
    until(lambda: container.serves(1))

    with redis.Redis.from_url(container.store.url) as client:
        rubbish = {"record": b"rubbish", "version": 9, "epoch": "not a number"}
        client.hset(keys.weights("small"), mapping=rubbish)
    until(lambda: container.metric("sidearm_weights_refused_total") >= 1)

    assert container.score(request()) == pipeline.score(request(), good, ArmTables())


class Chain:
    """Versions that are published as deltas onto one another."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.last = self.made(1, np.zeros(2**BITS, np.float32))
        self.send(None, self.last)

    def made(self, version: int, values: np.ndarray) -> Summed:
        return summed(encode_weights(weights_of(weights_at(version, 1, 0).header, values)))

    def send(self, base: Summed | None, fresh: Summed, whole: bool = True) -> None:
        publication = Publication(
            epoch=1,
            version=fresh.weights.header.version,
            record=encode_weights(fresh.weights),
            positions=("0-0",),
            examples=0,
            batches=(),
            checksum=fresh.checksum,
            delta=encode_delta(base, fresh) if base else b"",
            base_version=base.weights.header.version if base else 0,
            base_checksum=base.checksum if base else "",
            whole=whole,
        )
        with connect(self.container.store.url) as client:
            assert Scripts.on(client).run(publish_call("small", publication)) == b"OK"

    def publish(self, whole: bool = False) -> Summed:
        """A few weights change."""
        version = self.last.weights.header.version + 1
        values = self.last.weights.values.copy()
        values[version * 3 : version * 3 + 5] += version
        before, self.last = self.last, self.made(version, values)
        self.send(before, self.last, whole)
        return self.last

    def is_served(self) -> bool:
        return self.container.serves(self.last.weights.header.version)


def test_versions_that_come_as_deltas_are_served_to_the_last_bit(container):
    """One after the other, and in a heap; a record written whole between them is not even read."""
    container.start()
    chain = Chain(container)
    until(chain.is_served)
    for heap in (1, 1, 5, 1):
        for place in range(heap):
            chain.publish(whole=place == 2)
        until(chain.is_served)
        expected = pipeline.score(request(), chain.last.weights, ArmTables())
        assert container.score(request()) == expected
    assert container.metric("sidearm_weights_wholes_total") == 1
    assert container.metric("sidearm_weights_deltas_total") >= 4


def test_a_sidecar_that_starts_between_two_whole_records_serves_the_newest(container):
    """From the last whole record, through what changed since."""
    chain = Chain(container)
    for _ in range(7):
        chain.publish()
    container.start()
    until(chain.is_served)
    assert container.score(request()) == pipeline.score(request(), chain.last.weights, ArmTables())


def test_a_lost_or_damaged_delta_is_no_harm(container):
    """A gap asks for the whole record; behind a damaged one the last good goes on until a whole one comes."""
    container.start()
    chain = Chain(container)
    chain.publish()
    until(chain.is_served)
    deltas = keys.deltas("small")
    with redis.Redis.from_url(container.store.url) as client:
        with client.pipeline(transaction=True) as pipe:  # at once: the sidecar must not see it before
            pipe.xadd(deltas, {"version": 3, "delta": b"SDD1 rubbish"})
            pipe.execute()
        good = chain.last
        chain.publish()
        until(lambda: container.metric("sidearm_weights_wholes_total") >= 2)
        assert container.score(request()) == pipeline.score(request(), good.weights, ArmTables())
        client.delete(deltas)
        chain.publish(whole=True)
        until(chain.is_served)
        chain.publish()
        until(chain.is_served)
    assert container.score(request()) == pipeline.score(request(), chain.last.weights, ArmTables())


def test_another_learner_that_publishes_whole_breaks_no_chain(container):
    """Its first version has no delta; those after it lead on from there."""
    container.start()
    chain = Chain(container)
    chain.publish()
    until(chain.is_served)
    chain.last = chain.made(9, np.full(2**BITS, 2.0, np.float32))
    chain.send(None, chain.last)
    until(chain.is_served)
    chain.publish()
    until(chain.is_served)
    assert container.score(request()) == pipeline.score(request(), chain.last.weights, ArmTables())


def test_an_older_version_is_refused(container):
    """Only upwards: a paused learner that slipped past the fence changes nothing."""
    container.start()
    container.publish(7)
    until(lambda: container.serves(7))

    with redis.Redis.from_url(container.store.url) as client:
        older = encode_weights(weights_at(6, 1, 0))
        client.hset(keys.weights("small"), mapping={"record": older, "version": 6})
    until(lambda: container.metric("sidearm_weights_refused_total") >= 1)

    assert container.serves(7)


def test_the_slow_poll_finds_what_no_notice_told(container):
    """A publication without an entry in the version stream is taken all the same."""
    container.start()

    with redis.Redis.from_url(container.store.url) as client:
        record = encode_weights(weights_at(3, 1, 0))
        client.hset(keys.weights("small"), mapping={"record": record, "version": 3, "epoch": 1})

    until(lambda: container.serves(3))


def test_it_outlives_its_store(container):
    """Killed and started again: scoring never stops, and the next publication arrives."""
    container.start()
    container.publish(1)
    until(lambda: container.serves(1))

    container.store.kill()
    until(lambda: container.metric("sidearm_sidecar_store_errors_total") >= 1)
    assert container.score(request()).model_version == 1
    assert container.get("/readyz")[0] == 200
    with start_store(container.data) as store:
        container.store = store
        container.publish(2)
        until(lambda: container.serves(2))


NO_REQUESTS = [b"", b"{}", b"\xc1", b"\xff" * 100, encode(request())[:-5], b"\x91" * 9_000]


@pytest.mark.parametrize("body", NO_REQUESTS)
def test_bytes_that_are_no_request_are_refused(steady, body):
    """422 each, and it scores on."""
    assert steady.post(body)[0] == 422
    assert len(steady.score(request()).rows) == 3


def test_rows_that_cannot_be_scored_are_refused(steady):
    """A place outside the catalogue, no arm at all, a scheme that is not there."""
    version = CATALOGUE.version
    rows = (ScoreRow({}, (3,)), ScoreRow({}, ()), ScoreRow({}, None, (), 1), ScoreRow({"x": float("nan")}))
    for row in rows:
        assert steady.post(encode(ScoreRequest((row,), (Exploration(),), version)))[0] == 422


def test_an_answer_that_breaks_the_out_schema_is_a_loud_500(container):
    """The model's fault, not the caller's: finite weights and features whose sum is beyond a float32."""
    container.start()
    huge = weights_of(weights_at(1, 1, 0).header, np.full(2**BITS, 3e38, np.float32))
    container.publish(1, record=encode_weights(huge))
    until(lambda: container.serves(1))
    asked = ScoreRequest((ScoreRow({"x": 1e9}),), (Exploration(),), CATALOGUE.version, CATALOGUE.arms)
    assert container.post(encode(asked))[0] == 500
    assert container.metric("sidearm_sidecar_violations_total") == 1
    assert "breaks the out-schema" in container.process.output()


def test_a_long_body_is_refused_as_it_comes(steady):
    """Counted in chunks, without a length in front."""
    assert steady.post(iter([b"x" * 1024] * 17))[0] == 413
    assert steady.post(b"x" * 16385)[0] == 413


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/v1/score"), ("POST", "/livez")])
def test_what_it_does_not_do_is_404(steady, method, path):
    """Four endpoints, no more."""
    assert ask_sidecar(steady.socket, method, path)[0] == 404
    assert steady.get("/livez")[0] == 200


def test_its_socket_is_for_owner_and_group_and_goes_with_it(container):
    """Mode 0660; after SIGTERM exit code 0 and no socket."""
    process = container.start()

    assert stat.S_IMODE(container.socket.stat().st_mode) == 0o660
    assert process.stop() == 0
    assert not container.socket.exists()


def test_a_socket_left_by_a_killed_one_is_replaced(container):
    """kill -9 leaves it; the next start is none the wiser."""
    container.start().kill()
    assert container.socket.exists()

    container.start()

    assert container.get("/livez")[0] == 200


def test_a_second_one_does_not_take_the_socket_of_the_first(container):
    """One line, exit code 2, and the first serves on."""
    container.start()
    second = container.start(ready=False)

    assert second.exit_code() == 2
    assert "is in use" in second.output()
    assert container.get("/livez")[0] == 200


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("polls = 1", "unknown field `polls`"),
        ("poll_s = -1", "poll_s"),
        ('poll_s = "x"', "poll_s"),
    ],
)
def test_bad_settings_are_one_line_and_exit_code_2(container, line, complaint):
    """A typo, a value out of range, another type."""
    settings = (container.folder / "app.toml").read_text()
    (container.folder / "app.toml").write_text(settings.replace("poll_s = 0.5", line))

    process = container.start(ready=False)

    assert process.exit_code() == 2
    assert complaint in process.output()
    assert len(process.output().splitlines()) == 1


def test_it_loads_none_of_the_large_libraries():
    """The container stays minimal."""
    heavy = ("fastapi", "starlette", "pydantic", "duckdb", "polars", "pyarrow", "vowpal_wabbit_next", "httpx")
    ours = ("decision_service", "policy_learner", "offline_eval", "feature_graph")
    code = f"import sys, sidecar.server.__main__; print([m for m in {heavy + ours} if m in sys.modules])"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_interrupting_it_is_an_orderly_stop_too(container):
    """Ctrl-C reaches the whole group in a terminal."""
    process = container.start()
    process.child.send_signal(signal.SIGINT)

    assert process.exit_code() == 0
