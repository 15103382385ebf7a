"""Versions that are kept: listed, shown, served again, taken in and out; the real store, the real sidecar."""

from __future__ import annotations

import time
from itertools import pairwise

import msgspec
import pytest
from typer.testing import CliRunner

from decision_service.cli.main import root
from policy_learner import loop
from policy_learner.loop import drain, step
from policy_learner.models import publish
from policy_learner.models.history import read_kept
from policy_learner.models.imported import ImportedModels
from policy_learner.models.model_features import largest_weights
from policy_learner.models.model_shelf import look, read_model, take_in
from policy_learner.models.replay import replay
from policy_learner.settings import LearnerSettings
from sidecar.contracts import keys as app_keys
from sidecar.contracts.application import Arm
from sidecar.contracts.catalogue import encode_arms
from sidecar.contracts.deltas import read_newest
from sidecar.contracts.errors import BadModel, SidearmError
from sidecar.contracts.models import IMPORTED_FROM, Kept, ModelInfo, thinned
from sidecar.contracts.store import connect
from sidecar.contracts.weights import decode_weights, encode_weights, weights_of
from tests.decision_service.platform import ask_sidecar
from tests.policy_learner.world import ARMS, World
from tests.waiting import until

SETTINGS = LearnerSettings(publish_every_examples=1, archive_rows=1000, history_every_s=1.0, history=8)


class Shop(World):
    """A world with an ``app.toml``, whose decisions are scored with the version that is served."""

    def __init__(self, store, data, folder, **settings):
        super().__init__(store, data, settings=msgspec.structs.replace(SETTINGS, **settings))
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "app.toml").write_text(
            'name = "world"\npartitions = 2\n[reward]\nhorizon_s = 60\n[model]\nbits = 10\n'
            "[sidecar]\npoll_s = 5.0\nblock_ms = 500\n"
        )
        (folder / "arms.json").write_bytes(encode_arms(ARMS))
        self.served = None

    def weights(self):
        if self.served is not None:
            return read_model(self.client, "world", self.served)[0]
        return super().weights()

    def learn(self, learner, count=10):
        """Decide, reward, learn, publish, keep."""
        self.shop(count)
        self.now_s += 2.0
        for _ in range(50):
            if not step(learner):
                return learner.progress.version
        raise AssertionError("the learner does not come to rest")

    def run(self, *arguments, url, app=True):
        where = ["--app", str(self.folder)] if app else []
        asked = [*map(str, arguments), *where, "--data", str(self.data.root)]
        return CliRunner().invoke(root(), asked, env={"COLUMNS": "250", "REDIS_URL": url})


@pytest.fixture
def shop(store, data_folder, tmp_path):
    return Shop(store, data_folder, tmp_path / "app")


@pytest.fixture
def sidecar(shop, store_url, processes):
    """The real one, on the shop's store; says which version it serves and whether that is pinned."""
    process = processes.start(
        "sidecar.server",
        "--app",
        shop.folder,
        "--data",
        shop.data.root,
        environ={"REDIS_URL": store_url},
    )
    socket = shop.data.sidecar_socket("world")

    def metric(name):
        lines = ask_sidecar(socket, "GET", "/metrics")[1].splitlines()
        return next(float(line.split()[1]) for line in lines if line.split()[0] == name)

    process.wait_until(lambda: ask_sidecar(socket, "GET", "/readyz")[0] == 200)
    return lambda: (int(metric("sidearm_weights_version")), bool(metric("sidearm_weights_pinned")))


def kept(version, at_ms, size=10, origin="published"):
    info = ModelInfo(
        version=version,
        epoch=1,
        origin=origin,
        bits=10,
        interactions=("ca",),
        examples=1,
        positions=(),
        trained_until_ms=0,
        record_bytes=size,
        checksum="",
        used=1,
        norm=1.0,
        largest=1.0,
    )
    return Kept(at_ms, info)


def test_what_is_kept_is_dense_now_and_sparse_long_ago():
    """A version a minute for two weeks, sixteen kept: gaps grow with the age, both ends are there."""
    left = []
    for minute in range(1, 14 * 24 * 60):
        left.append(kept(minute, minute * 60_000))
        gone = thinned(left, 16, 10**9)
        left = [one for one in left if one.info.version not in gone]
    ages = [minute - one.info.version for one in left]
    gaps = [older - newer for older, newer in pairwise(ages)]
    assert len(left) == 16
    assert (ages[0], ages[-1]) == (14 * 24 * 60 - 2, 0)
    assert sum(age <= 60 for age in ages) >= 4
    assert all(gap <= max(4, 1.2 * age) for gap, age in zip(gaps, ages, strict=False))


def test_bytes_are_a_limit_too_but_the_newest_stays():
    """And what somebody imported is not the learner's to forget."""
    some = [kept(n, n * 1000, size=100) for n in range(1, 6)]
    assert len(thinned(some, 10, 250)) == 3
    assert 5 not in thinned(some, 10, 1)
    assert thinned([kept(1, 0, 900, "imported"), kept(2, 5, 100)], 1, 100) == []


def test_the_learner_keeps_versions_with_what_is_known_of_them(shop):
    """Record, examples, positions, norm, checksum, the gate's numbers; no more than it should."""
    learner = shop.learner()
    for _ in range(12):
        shop.learn(learner, 4)
    stored = read_kept(shop.client, "world")
    assert len(stored) == 8
    assert shop.client.hlen(app_keys.model_records("world")) == 8
    for one in stored:
        weights, record = read_model(shop.client, "world", one.info.version)
        assert weights.header.examples == one.info.examples
        assert weights.header.positions == one.info.positions
        assert (len(record), one.info.judgement.version) == (one.info.record_bytes, one.info.version)


def test_a_restarted_learner_keeps_its_first_version_at_once(shop):
    """Somebody who restarts it because of a bad model wants the one from before."""
    learner = shop.learner()
    first = shop.learn(learner)
    again = shop.learner()
    shop.shop(4)
    step(again)
    assert {first, again.progress.version} <= {one.info.version for one in read_kept(shop.client, "world")}


def test_rolling_back_is_served_within_a_second_and_resuming_undoes_it(shop, sidecar, store_url):
    """The learner publishes on beneath the pin, and the sidecar does not listen to it until `resume`."""
    learner = shop.learner()
    old = shop.learn(learner)
    newer = shop.learn(learner)
    until(lambda: sidecar() == (newer, False))

    begun = time.monotonic()
    result = shop.run("models", "rollback", old, "--reason", "bad sales", url=store_url)
    assert result.exit_code == 0, result.output
    until(lambda: sidecar() == (old, True))  # the jump of the test's clock makes its word look old
    assert time.monotonic() - begun < 1.0

    later = shop.learn(learner)
    assert later > newer
    assert read_model(shop.client, "world", later)[0].header.version == later
    until(lambda: look(shop.client, "world").newest.version == later)
    assert sidecar() == (old, True)
    listed = shop.run("models", "list", url=store_url).output
    assert f"version {old} is pinned (bad sales)" in listed

    result = shop.run("models", "resume", url=store_url)
    assert result.exit_code == 0, result.output
    until(lambda: sidecar() == (later, False))
    assert "was pinned" in shop.run("models", "resume", url=store_url).output


def test_a_pin_outlives_sidecar_and_learner(shop, store_url, processes):
    """Started again, both do as before."""
    learner = shop.learner()
    old = shop.learn(learner)
    shop.learn(learner)
    assert shop.run("models", "rollback", old, url=store_url).exit_code == 0
    shop.learn(shop.learner())
    processes.start(
        "sidecar.server", "--app", shop.folder, "--data", shop.data.root, environ={"REDIS_URL": store_url}
    )
    until(lambda: [(s.version, s.pinned) for s in look(shop.client, "world").serving] == [(old, True)], 20.0)


def test_a_log_over_a_rollback_and_an_import_replays_without_a_mismatch(shop):
    """Decisions of an old version between those of newer ones, and of a model from elsewhere."""
    learner = shop.learner()
    old = shop.learn(learner, 20)
    shop.learn(learner, 20)
    shop.served = old
    shop.learn(learner, 20)
    record = read_model(shop.client, "world", old)[1]
    strange = encode_weights(weights_of(decode_weights(record).header, decode_weights(record).values * 2))
    shop.served = take_in(shop.scripts, shop.application, ImportedModels(shop.log), strange, "elsewhere")
    shop.learn(learner, 20)
    shop.served = None
    shop.learn(learner, 20)
    drain(learner, lambda: True)

    result = replay(shop.application, shop.data)
    assert result.clean, result.told
    assert result.counts["scored"] == result.counts["decisions"] == 100


def test_an_imported_model_that_was_altered_in_the_log_is_a_mismatch(shop):
    """The replay says so, it does not guess."""
    learner = shop.learner()
    shop.learn(learner)
    record = read_model(shop.client, "world", learner.progress.version)[1]
    shop.served = take_in(shop.scripts, shop.application, ImportedModels(shop.log), record[:], "x")
    assert shop.served == learner.progress.version  # it is ours: no second number for it
    other = encode_weights(weights_of(decode_weights(record).header, decode_weights(record).values * 2))
    shop.served = take_in(shop.scripts, shop.application, ImportedModels(shop.log), other, "x")
    assert shop.served == IMPORTED_FROM + 1
    shop.learn(learner)
    drain(learner, lambda: True)
    path = shop.log / "models" / f"{shop.served}.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert replay(shop.application, shop.data).mismatches["weights"] == 1


def test_export_and_import_carry_a_model_between_platforms(shop, store_url, tmp_path):
    """The file is the record; the other platform gives it a number of its own, the same one twice."""
    learner = shop.learner()
    version = shop.learn(learner)
    file = tmp_path / "model.bin"
    result = shop.run("models", "export", version, file, url=store_url)
    assert result.exit_code == 0, result.output
    assert file.read_bytes() == read_model(shop.client, "world", version)[1]
    again = shop.run("models", "export", version, file, url=store_url)
    assert "exists" in str(again.exception)

    shop.client.flushall()
    for _ in range(2):
        result = shop.run("models", "import", file, url=store_url)
        assert "version i1" in result.output, result.output
    assert shop.run("models", "rollback", "i1", url=store_url).exit_code == 0
    taken = read_model(shop.client, "world", IMPORTED_FROM + 1)[0]
    assert taken.values.tobytes() == decode_weights(file.read_bytes()).values.tobytes()
    assert "i1" in shop.run("models", "list", url=store_url).output
    assert "is pinned" in str(shop.run("models", "forget", "i1", url=store_url).exception)
    shop.run("models", "resume", url=store_url)
    assert shop.run("models", "forget", "i1", url=store_url).exit_code == 0
    assert ImportedModels(shop.log).read(IMPORTED_FROM + 1) is not None  # what it decided can be replayed


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda record: record[:-1], "cut or altered"),
        (lambda record: b"", "at least"),
        (lambda record: b"GIF89a" + record[6:], "not b'SDW1'"),
        ("bits", "9 bits"),
        ("interactions", "interactions"),
    ],
)
def test_a_model_that_does_not_fit_is_not_taken_in(shop, store_url, tmp_path, change, complaint):
    """One line that says what is wrong; nothing was changed."""
    learner = shop.learner()
    record = read_model(shop.client, "world", shop.learn(learner))[1]
    weights = decode_weights(record)
    if change == "bits":
        header, values = msgspec.structs.replace(weights.header, bits=9), weights.values[:512]
        record = encode_weights(weights_of(header, values))
    elif change == "interactions":
        header = msgspec.structs.replace(weights.header, interactions=("aa",))
        record = encode_weights(weights_of(header, weights.values))
    else:
        record = change(record)
    file = tmp_path / "model.bin"
    file.write_bytes(record)
    before = look(shop.client, "world").kept
    result = shop.run("models", "import", file, url=store_url)
    assert isinstance(result.exception, SidearmError)
    assert complaint in str(result.exception)
    assert look(shop.client, "world").kept == before
    assert ImportedModels(shop.log).versions() == []


@pytest.mark.parametrize("version", ["99999", "i7", "seven", "0", "-1"])
def test_a_version_that_is_not_there_is_named_with_those_that_are(shop, store_url, version):
    """Rolling back to nothing changes nothing."""
    number = shop.learn(shop.learner())
    result = (
        shop.run("models", "rollback", "--", version, url=store_url)
        if version == "-1"
        else shop.run("models", "rollback", version, url=store_url)
    )
    assert isinstance(result.exception, BadModel) or result.exit_code == 2
    if isinstance(result.exception, BadModel) and "not kept" in str(result.exception):
        assert str(number) in str(result.exception)
    assert look(shop.client, "world").pin is None


def test_a_damaged_version_is_never_pinned(shop, store_url):
    """Its record is checked before anybody is told to serve it."""
    version = shop.learn(shop.learner())
    record = shop.client.hget(app_keys.model_records("world"), version)
    shop.client.hset(app_keys.model_records("world"), version, record[:-1])
    result = shop.run("models", "rollback", version, url=store_url)
    assert "cut or altered" in str(result.exception)
    assert look(shop.client, "world").pin is None


def test_a_pinned_version_that_is_gone_leaves_the_last_good_one(shop, sidecar, store_url):
    """Somebody deletes it behind our back: counted, said, and shown by `list`."""
    learner = shop.learner()
    old, newer = shop.learn(learner), shop.learn(learner)
    until(lambda: sidecar() == (newer, False))
    shop.client.hset(app_keys.pin("world"), mapping={"version": IMPORTED_FROM + 5, "reason": "by hand"})
    shop.client.xadd(app_keys.model_notices("world"), {"by": "hand"})
    until(lambda: any(one.word for one in look(shop.client, "world").serving))
    assert sidecar() == (newer, False)
    assert "weights refused" in shop.run("models", "list", url=store_url).output
    result = shop.run("models", "rollback", old, url=store_url)
    assert result.exit_code == 0, result.output
    until(lambda: sidecar() == (old, True))


def test_a_sidecar_that_does_not_follow_is_an_exit_code(shop, store_url):
    """The pin stands; who does not serve it is named."""
    version = shop.learn(shop.learner())
    call = [app_keys.serving("world"), "stuck:1", f"{look(shop.client, 'world').now_ms}|3|0|cannot read"]
    shop.client.hset(*call)
    result = shop.run("models", "rollback", version, "--wait", "0.1", url=store_url)
    assert result.exit_code == 1
    assert "stuck:1 still serves 3: cannot read" in result.output


def test_show_names_the_largest_weights(shop, store_url):
    """Arms' features from the catalogue, the context's from the log, products of both."""
    learner = shop.learner()
    version = shop.learn(learner, 60)
    drain(learner, lambda: True)
    output = shop.run("models", "show", version, "--top", "30", url=store_url).output
    for said in ("constant", "arm id=sku-1", "context device=ios × arm", "arm kind=", "norm", "positions"):
        assert said in output, output


def test_show_says_what_scores_mean(shop, store_url):
    """Nothing before there are examples enough, then the expectation and the rank along the scores."""
    learner = shop.learner()
    version = shop.learn(learner, 20)
    assert "too few examples" in shop.run("models", "show", version, url=store_url).output
    version = shop.learn(learner, 60)
    output = shop.run("models", "show", version, url=store_url).output
    table = output.split("by the latest 64 examples:")[1].split("weight ")[0].strip().splitlines()
    ranks = [float(line.split()[2]) for line in table[1:]]
    assert ranks == sorted(ranks)
    assert 0.0 < ranks[0] < 0.2


def test_names_that_collide_are_all_told(shop):
    """On 256 weights, many features share one."""
    learner = shop.learner()
    shop.learn(learner, 60)
    weights = shop.weights()
    small = weights_of(msgspec.structs.replace(weights.header, bits=8), weights.values[:256])
    contexts = [{"device": "ios", "hour": 3.0}, {"device": "web"}]
    arms = [*ARMS, *[Arm(f"more-{n}") for n in range(300)]]
    found = largest_weights(small, 256, arms, contexts)
    assert any(len(one.names) > 1 for one in found)
    assert [abs(one.value) for one in found] == sorted((abs(one.value) for one in found), reverse=True)


def test_a_version_that_was_not_kept_is_rebuilt_from_the_log(shop, store_url):
    """Bit for bit as it was published, then it can be served like any other."""
    learner = shop.learner()
    wanted = shop.learn(learner)
    record = shop.client.hget(app_keys.weights("world"), "record")
    shop.learn(learner)
    drain(learner, lambda: True)
    assert shop.run("models", "forget", wanted, url=store_url).exit_code == 0
    result = shop.run("rebuild", "--version", wanted, url=store_url)
    assert result.exit_code == 0, result.output
    assert read_model(shop.client, "world", wanted)[1] == record
    assert shop.run("models", "rollback", wanted, url=store_url).exit_code == 0
    assert "not in the version log" in str(shop.run("rebuild", "--version", 99, url=store_url).exception)


def test_without_a_store_it_is_one_line(shop, tmp_path):
    """Where it was looked for, and what to start."""
    result = shop.run("models", "list", url=f"unix://{tmp_path}/none.sock")
    assert "is `sidearm up` running?" in str(result.exception)


def test_a_large_model_travels_as_deltas_and_replays_like_any_other(shop, sidecar, monkeypatch):
    """Published whole now and then, else as what changed; restart and replay know no difference."""
    monkeypatch.setattr(publish, "DELTA_FROM_BYTES", 0)
    monkeypatch.setattr(publish, "_WORTHWHILE", 0)
    learner = shop.learner()
    sizes = []
    for turn in range(12):
        version = shop.learn(learner, 6)
        until(lambda: sidecar()[0] == version)  # noqa: B023
        stored = decode_weights(shop.client.hget(app_keys.weights("world"), "record"))
        sizes.append(version - stored.header.version)
        newest = read_newest(shop.client, "world")
        assert newest.checksum.encode() == shop.client.hget(app_keys.weights("world"), "checksum")
        if turn == 6:
            learner = shop.learner()
            assert not learner.figures.rebuild_mismatch
    assert sizes.count(0) < 7
    assert max(sizes) > 0
    drain(learner, lambda: True)
    result = replay(shop.application, shop.data)
    assert result.clean, result.told
    assert result.counts["versions"] == newest.weights.header.version


def test_a_learner_whose_base_is_gone_publishes_whole(shop, monkeypatch):
    """Somebody wrote into the hash: the delta does not fit, the record does."""
    monkeypatch.setattr(publish, "DELTA_FROM_BYTES", 0)
    monkeypatch.setattr(publish, "_WORTHWHILE", 0)
    learner = shop.learner()
    shop.learn(learner)
    shop.client.hset(app_keys.weights("world"), "checksum", "by hand")
    version = shop.learn(learner)
    assert read_newest(shop.client, "world").weights.header.version == version


@pytest.mark.parametrize(("read_batch", "least", "most"), [(1, 4, 6), (256, 38, 40)])
def test_publishing_takes_no_more_than_its_share_of_the_time(shop, monkeypatch, read_batch, least, most):
    """A learner that is behind asks a gate that takes a second every five, one that is not at every step."""
    shop.settings = msgspec.structs.replace(
        shop.settings,
        publish_every_examples=10**6,
        publish_every_s=0.05,
        publish_share=0.2,
        read_batch=read_batch,
    )
    learner = shop.learner()
    judge = loop.judge

    def slow(of, training):
        shop.now_s += 1.0
        return judge(of, training)

    monkeypatch.setattr(loop, "judge", slow)
    published = []
    for _ in range(40):
        shop.shop(1)
        step(learner)
        published.append(learner.progress.version)
        shop.now_s += 0.5
    assert least <= published[-1] <= most


def test_a_fenced_learner_keeps_nothing(shop, store_url):
    """History is the learner's of the day."""
    from policy_learner.errors import Fenced

    learner = shop.learner()
    shop.shop(4)
    learner.history._timer = type("Never", (), {"due": False, "restart": lambda self: None})()
    learner.history._kept_any = True
    step(learner)
    learner.history._kept_any = False
    with connect(store_url) as client:
        client.incr(app_keys.epoch("world"))
    with pytest.raises(Fenced):
        learner.history.keep()
    assert read_kept(shop.client, "world") == []
