"""Versions that are kept: listed, shown, rolled back to; the real store, the real sidecar."""

from __future__ import annotations

import time
from itertools import pairwise

import msgspec
import pytest

from policy_learner.loop import drain, step
from policy_learner.models.history import read_kept
from policy_learner.models.model_features import largest_weights
from policy_learner.models.model_shelf import look, read_model
from sidecar.contracts import keys as app_keys
from sidecar.contracts.application import Arm
from sidecar.contracts.errors import BadModel
from sidecar.contracts.models import IMPORTED_FROM, Kept, ModelInfo, thinned
from sidecar.contracts.weights import weights_of
from tests.policy_learner.world import ARMS
from tests.waiting import until


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

    took_s = []
    for again in (True, True, False):
        begun = time.monotonic()
        result = shop.run("models", "rollback", old, "--reason", "bad sales", url=store_url)
        assert result.exit_code == 0, result.output
        until(lambda: sidecar() == (old, True))  # the jump of the test's clock makes its word look old
        took_s.append(time.monotonic() - begun)
        if again:
            assert shop.run("models", "resume", url=store_url).exit_code == 0
            until(lambda: sidecar() == (newer, False))
    assert min(took_s) < 1.0, took_s  # the first reads the command's modules, and a machine may stand still

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
    until(lambda: [(s.version, s.pinned) for s in look(shop.client, "world").serving] == [(old, True)], 60.0)


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
