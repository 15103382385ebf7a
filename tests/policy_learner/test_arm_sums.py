"""What arms earned, kept in the store by whoever writes the log: equal to the log, each decision once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import redis
from msgspec.structs import replace

from policy_learner.archive.arm_sums import ArmCounts, call_of
from policy_learner.archive.rows import DECISIONS
from policy_learner.archiver import Archiver
from policy_learner.settings import LearnerSettings
from sidecar.contracts import keys
from sidecar.contracts.arm_sums import DAYS, FIVES, GRAINS, HOURS, ArmSums, Shown, decode_sums, total
from sidecar.contracts.store import Scripts
from tests.policy_learner.logs import FIRST_DAY, ms
from tests.policy_learner.logs import Archiver as Log
from tests.policy_learner.walking import rows, steps, stop
from tests.policy_learner.world import World

HERE = LearnerSettings(publish_every_examples=1, archive_rows=1000, compact_every_s=0.0)
HOSTILE = ('<img src=x onerror="alert(1)">', "a\x1fb", "\u2028", "", '["x",""]')


def sums_of(store, app="world"):
    """All five minutes, hours, and days, that are kept."""
    found = [
        [decode_sums(store.hgetall(key)) for key in store.keys(f"{{{app}}}:arms:{of}:*")] for of in "mhd"
    ]
    return [_merged(parts) for parts in found]


def _merged(parts):
    names = {name for part in parts for name in part}
    return {name: total([part[name] for part in parts if name in part]) for name in names}


def table_of(tmp_path, changes):
    """Rows of one file, each the usual one but for some columns."""
    log = Log(tmp_path)
    made = [log.row(0, f"{ms(0, n)}-0") | change for n, change in enumerate(changes)]
    return pa.Table.from_pylist(made, schema=DECISIONS)


def told(store, table, position="9-0"):
    Scripts.on(store).run(call_of("x", 0, position, table))
    return _merged([decode_sums(store.hgetall(keys.arm_sums("x", "d", FIRST_DAY)))])


@pytest.mark.parametrize("apart", [False, True])
def test_the_sums_are_those_of_the_log_whoever_writes_it(store, data_folder, apart):
    """By the learner, or by an archiver of its own: decisions, rewards and weights by arm."""
    settings = replace(HERE, archiver="apart" if apart else "here")
    world = World(store, data_folder, 2, settings)
    learner, archiver = world.learner(), world.helper(Archiver) if apart else None
    world.shop(40)
    steps(learner)
    stop(learner)
    if archiver is not None:
        archiver.stop()
    fives, hours, days = sums_of(store)
    assert fives == hours == days
    log = rows(world)
    assert sum(one.decisions for one in days.values()) == len(log) == 40
    for shown, sums in days.items():
        own = [row for row in log if row["arm"] == shown.arm]
        weights = np.array([1 / row["propensity"] for row in own])
        rewards = np.array([row["reward"] for row in own])
        expected = [len(own), rewards.sum(), (rewards**2).sum(), weights.sum(), (weights * rewards).sum()]
        assert [sums.decisions, sums.sr, sums.ssrr, sums.w, sums.wr] == pytest.approx(expected)


def test_a_file_that_is_told_twice_counts_once(store, tmp_path):
    """The reply to a call may be lost: the position of the partition says that it is known."""
    table = table_of(tmp_path, [{}, {"reward": 5.0}])
    once = told(store, table, "100-5")
    assert told(store, table, "100-5") == told(store, table, "100-4") == told(store, table, "99-9") == once
    assert told(store, table, "100-10")[Shown("a")].decisions == 4


def test_each_row_counts_as_the_contract_says(store, tmp_path):
    """Missing rewards count in no mean, certain ones under no propensity, what nobody saw not at all."""
    table = table_of(
        tmp_path,
        [
            {"reward": 2.0, "propensity": 0.25, "inclusion_probability": 0.5},
            {"reward": None, "reward_source_n": 0},
            {"reward": 1.0, "propensity": 1.0, "deterministic": True, "segment": "night"},
            {"activated": False},
        ],
    )
    found = told(store, table)
    assert found[Shown("a")] == ArmSums(2, 1, 2.0, 4.0, 4.0, 8.0, 16.0, 8.0, 16.0, 64.0, 128.0, 256.0)
    assert found[Shown("a", "night")] == ArmSums(1, 1, 1.0, 1.0, 1.0, 1.0, 1.0)


def test_parts_of_time_are_those_in_which_the_horizon_ended(store, tmp_path):
    """One file may hold several; what would be forgotten at once is not counted apart."""
    at = [{"finalised_at": (FIRST_DAY * DAYS.ms + n * HOURS.ms) * 1000} for n in (3, 3, 7)]
    told(store, table_of(tmp_path, at))
    counts = {
        key.decode(): decode_sums(store.hgetall(key))[Shown("a")].decisions
        for key in store.keys("{x}:arms:[mh]:*")
    }
    hour = FIRST_DAY * 24
    assert counts == {
        keys.arm_sums("x", "h", hour + 3): 2,
        keys.arm_sums("x", "h", hour + 7): 1,
        keys.arm_sums("x", "m", (hour + 7) * 12): 1,
    }
    assert FIVES.kept < 4 * 12


def test_names_that_mean_something_elsewhere_are_only_names(store, tmp_path):
    """Markup, separators and what looks like the field of others come back as they went."""
    table = table_of(tmp_path, [{"arm": name, "segment": name} for name in HOSTILE])
    assert {(one.arm, one.segment) for one in told(store, table)} == {(name, name) for name in HOSTILE}


def test_however_many_arms_there_are_the_store_holds_a_bounded_number(store, tmp_path):
    """The busiest of each file have their own sums, all others are counted together; nothing is lost."""
    for number in range(6):
        first = 1 + number * 300
        changes = [{"arm": f"a-{n}"} for n in range(first, first + 300)] + [{"arm": "busy"}] * 3
        found = told(store, table_of(tmp_path, changes), f"{number + 1}-0")
    assert len(found) == DAYS.most
    assert sum(one.decisions for one in found.values()) == 6 * 303
    assert found[Shown("busy")].decisions == 18
    assert found[Shown(None)].decisions == 1800 - (DAYS.most - 2)
    assert DAYS.of_a_file < 300


def test_sums_are_gone_after_their_time(store, tmp_path):
    """Read before a millisecond is over a life is whole, later it is what is left of it."""
    told(store, table_of(tmp_path, [{}]))
    lives_ms = sorted(store.pttl(key) for key in store.keys("{x}:arms:[mhd]:*"))
    wholes_ms = sorted(grain.kept * grain.ms for grain in GRAINS)
    for whole_ms, life_ms in zip(wholes_ms, lives_ms, strict=True):
        assert whole_ms - 60_000 < life_ms <= whole_ms


def test_foreign_bytes_are_overwritten_and_left_out(store, tmp_path):
    """Somebody else's hash, or field, loses nobody a file."""
    store.set(keys.arm_sums_counted("x"), "no hash")
    store.hset(keys.arm_sums("x", "d", FIRST_DAY), mapping={b"\xff": b"1", '["a",""]': b"\xff one"})
    found = told(store, table_of(tmp_path, [{}]))
    assert list(found) == [Shown("a")]
    assert decode_sums({b'["a",""]': b"no doubles"}) == {}


def test_a_store_that_refuses_or_is_away_holds_up_no_file(store, tmp_path, monkeypatch, caplog):
    """Told later where it was away, never where it refuses; said once."""
    counts, table = ArmCounts(store, "x"), table_of(tmp_path, [{}])
    errors = [redis.ConnectionError("away"), redis.ResponseError("OOM")]

    def run(keys, args):
        raise errors[0]

    monkeypatch.setattr(counts, "_script", run)
    counts.note(0, "1-0", table)
    counts.tell()
    counts.tell()
    assert (len(counts._waiting), len(caplog.records)) == (1, 1)
    errors.reverse()
    counts.tell()
    assert (len(counts._waiting), len(caplog.records)) == (0, 2)
    monkeypatch.undo()
    counts.note(0, "2-0", table)
    counts.tell()
    assert sums_of(store, "x")[2][Shown("a")].decisions == 1
