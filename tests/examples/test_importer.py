"""The import: impressions become decisions, clicks become rewards, in the real store, each exactly once."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from examples.fashion import application, bts
from examples.fashion.importer import LEARN_SHARE, import_rows
from sidecar.contracts.joining import join
from sidecar.contracts.keys import Keys, catalogues
from sidecar.contracts.scripts.decide import DecideStatus
from sidecar.contracts.scripts.finalise import decode_example
from sidecar.contracts.scripts.reward import RewardStatus
from sidecar.contracts.store import Scripts, connect
from sidecar.contracts.upkeep import finalise_due, read_books

ROWS, ITEMS = 600, 5
START = datetime(2019, 11, 24, 12, 0, tzinfo=UTC)


def impressions() -> pl.DataFrame:
    """Rows of the data set's form, made up."""
    return pl.DataFrame(
        {
            "timestamp": [START + timedelta(seconds=7.25 * i) for i in range(ROWS)],
            "item_id": [i * 3 % ITEMS for i in range(ROWS)],
            "position": [i % 3 for i in range(ROWS)],
            "click": [int(i % 20 == 0) for i in range(ROWS)],
            "propensity": [1.0 / ITEMS] * ROWS,
            **{f"user_feature_{k}": [f"u{i % (k + 2)}" for i in range(ROWS)] for k in range(4)},
        }
    )


def items() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": range(ITEMS),
            "item_feature_0": [0.1 * i for i in range(ITEMS)],
            **{f"item_feature_{k}": [f"h{i % k}" for i in range(ITEMS)] for k in (1, 2, 3)},
        }
    )


@pytest.fixture
def fashion(data_folder):
    return application.load(application.write_application(data_folder.root, items()))


@pytest.fixture
def scripts(store_url, store):
    with connect(store_url) as client:
        yield Scripts.on(client)


def bring_in(scripts, fashion):
    return import_rows(scripts, *fashion, impressions(), "random", "all")


def joined(scripts, known):
    """Every decision with its rewards, after a horizon that was moved over with the store's test clock."""
    found = []
    for partition in range(known.partitions):
        keys = Keys(known.name, partition)
        scripts.client.set(keys.skew, 60_000)
        while finalise_due(scripts, keys, tombstone_ms=1_000_000):
            pass
        stream = scripts.client.xrange(keys.examples)
        found += [decode_example(partition, position, fields) for position, fields in stream]
    return found


def test_every_impression_is_a_decision_and_every_click_joins_it(scripts, fashion):
    """Row counts are exact, in the store and in what the learner will read."""
    imported = bring_in(scripts, fashion)
    assert imported.decisions == Counter({DecideStatus.OK: ROWS})
    assert imported.rewards == Counter({RewardStatus.EARLY: ROWS // 20})
    examples = joined(scripts, fashion[0])
    assert len(examples) == ROWS
    assert sum(join(one.rewards, fashion[0].reward).value for one in examples) == ROWS // 20
    assert scripts.client.hexists(catalogues("fashion"), fashion[1].version)


def test_the_first_part_by_time_is_learnt_from_and_the_rest_is_not(scripts, fashion):
    """The split is by the data's own time, and the propensities are the logged ones."""
    imported = bring_in(scripts, fashion)
    events = [one.decision for one in joined(scripts, fashion[0])]
    learnt = [event.decided_at_ms for event in events if event.learn]
    kept_out = [event.decided_at_ms for event in events if not event.learn]
    assert len(learnt) == imported.learnt == round(LEARN_SHARE * ROWS)
    assert max(learnt) < min(kept_out) == round(imported.split_at.timestamp() * 1000)
    assert {(e.source, e.exploration.scheme, e.propensity) for e in events} == {("import", "logged", 0.2)}


def test_the_learner_reads_them_in_the_order_of_time(scripts, fashion):
    """Within a partition the example stream is ordered as the impressions were."""
    bring_in(scripts, fashion)
    examples = joined(scripts, fashion[0])
    for partition in range(fashion[0].partitions):
        times = [one.decision.decided_at_ms for one in examples if one.partition == partition]
        assert times == sorted(times)


def test_importing_again_changes_nothing(scripts, fashion):
    """While pending and after they were finalised: same examples, books that balance."""
    bring_in(scripts, fashion)
    again = bring_in(scripts, fashion)
    assert again.decisions == Counter({DecideStatus.DUP: ROWS})
    assert again.rewards == Counter({RewardStatus.DUP: ROWS // 20})
    before = joined(scripts, fashion[0])
    third = bring_in(scripts, fashion)
    assert third.decisions == Counter({DecideStatus.FIN: ROWS})
    assert third.rewards == Counter({RewardStatus.DUP: ROWS // 20})
    assert joined(scripts, fashion[0]) == before
    for partition in range(fashion[0].partitions):
        balance = read_books(scripts, Keys("fashion", partition), count_rewards=True)
        assert (balance.decisions, balance.rewards) == (0, 0)


def test_thompson_sampling_shows_each_page_three_items_by_their_posteriors():
    """Columns are distributions; equal posteriors share evenly, within five standard errors."""
    draws = 20_000
    table = bts.action_table(np.full(4, 2.0), np.full(4, 9.0), np.random.default_rng(1), draws)
    assert np.allclose(table.sum(axis=0), 1.0)
    assert np.abs(table - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / draws)
    sure = bts.action_table(
        np.array([9e6, 5e6, 1e6]), np.array([1e6, 5e6, 9e6]), np.random.default_rng(1), 100
    )
    assert sure.tolist() == np.eye(3).tolist()
