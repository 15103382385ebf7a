"""How versions are published: as deltas, at a pace, by one learner."""

from __future__ import annotations

import msgspec
import pytest

from policy_learner import loop
from policy_learner.loop import drain, step
from policy_learner.models import publish
from policy_learner.models.history import read_kept
from policy_learner.models.replay import replay
from sidecar.contracts import keys as app_keys
from sidecar.contracts.deltas import read_newest
from sidecar.contracts.store import connect
from sidecar.contracts.weights import decode_weights
from tests.waiting import until


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
