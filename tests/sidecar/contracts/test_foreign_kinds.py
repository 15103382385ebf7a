"""Keys of ours that hold another kind of value: thrown away and counted; those beside them are as ever."""

from __future__ import annotations

import pytest

from sidecar.contracts.scripts.activate import ActivateEntry, activate_call, parse_activate
from sidecar.contracts.scripts.heal import heal_call, parse_heal
from sidecar.contracts.scripts.orphan import orphan_call
from sidecar.contracts.scripts.reward import RewardEntry
from sidecar.contracts.store import Scripts
from sidecar.contracts.upkeep import read_books
from tests.sidecar.contracts.test_scripts import (
    DAY_MS,
    HORIZON_MS,
    IDS,
    KEYS,
    TAIL,
    decide,
    entry,
    finalise,
    reward,
)

SHARED = ["counters", "due", "orphans", "examples", "late", "dead", "lease"]


@pytest.fixture
def scripts(store):
    return Scripts.on(store)


def spoil(store, *keys: str) -> None:
    """A list is what none of ours is."""
    for key in keys:
        store.delete(key)
        store.rpush(key, "a stranger's")


def statuses(scripts, *entries: RewardEntry) -> list[str]:
    return [answer.status for answer in reward(scripts, *entries)]


def foreign(store) -> int:
    return int(store.hget(KEYS.counters, "foreign") or 0)


def ids_in(store, stream: str) -> list[str]:
    return [fields[b"i"].decode() for _, fields in store.xrange(stream)]


@pytest.mark.parametrize("flags", [{}, {"mode": "assume"}, {"mode": "earliest"}])
def test_decisions_are_logged(store, scripts, flags):
    """With its session, its rewards, its tombstones of another kind; the one beside it as ever."""
    spoil(store, KEYS.session("s"), KEYS.rewards(IDS[0]), KEYS.finalised(IDS[0]), KEYS.decision(IDS[0]))

    answers = decide(scripts, *(entry(one, client_key=one, **flags) for one in IDS))

    assert [answer.status for answer in answers] == ["OK"] * 3
    assert foreign(store) >= 2
    assert [one.status for one in decide(scripts, entry(IDS[0], client_key=IDS[0]))] == ["DUP"]
    assert store.hget(KEYS.session("s"), "last").decode() == IDS[2]
    assert read_books(scripts, KEYS) == (0, 0)


def test_a_reward_joins_its_decision(store, scripts):
    """What else lay under its rewards' key is gone, and so it is for those in the same batch."""
    decide(scripts, *(entry(one) for one in IDS))
    spoil(store, KEYS.rewards(IDS[1]))

    assert statuses(scripts, *(RewardEntry(one, "k", TAIL) for one in IDS)) == ["OK"] * 3
    assert foreign(store) == 1
    store.set(KEYS.skew, HORIZON_MS)
    assert finalise(scripts, *IDS) == 3
    assert read_books(scripts, KEYS, count_rewards=True) == (0, 0)


def test_a_reward_by_session_finds_nobody(store, scripts):
    """Where it would have gone is not known any more: it is kept among the late ones."""
    decide(scripts, entry(IDS[0]))
    spoil(store, KEYS.session("s"))

    assert statuses(scripts, RewardEntry("", "k", TAIL, session_id="s")) == ["UNKNOWN"]

    assert store.xlen(KEYS.late) == foreign(store) == 1


def test_rewards_at_the_horizon_are_none(store, scripts):
    """The decision is closed without, and the key is free for what comes late."""
    decide(scripts, *(entry(one) for one in IDS))
    spoil(store, KEYS.rewards(IDS[0]), KEYS.finalised(IDS[0]))
    store.set(KEYS.skew, HORIZON_MS)

    assert finalise(scripts, *IDS) == 3

    assert (ids_in(store, KEYS.examples), foreign(store)) == (list(IDS), 2)
    assert statuses(scripts, RewardEntry(IDS[0], "k", TAIL)) == ["LATE"]


def test_a_deferred_decision_is_activated(store, scripts):
    """However strange its session."""
    decide(scripts, entry(IDS[0], deferred=True))
    spoil(store, KEYS.session("s"), KEYS.finalised(IDS[0]))
    call = activate_call(KEYS, [ActivateEntry(IDS[0], "s")], tombstone_ms=DAY_MS)
    assert parse_activate(scripts.run(call))[0].status == "OK"


@pytest.mark.parametrize("name", SHARED)
def test_what_all_share_is_begun_anew(store, scripts, name):
    """Decisions, rewards and their end go on, and the books say what was lost with it."""
    decide(scripts, entry(IDS[0]))
    spoil(store, getattr(KEYS, name))

    assert decide(scripts, entry(IDS[1]))[0].status == "OK"
    both = (RewardEntry(IDS[1], "k", TAIL), RewardEntry(IDS[2], "k", TAIL))
    assert statuses(scripts, *both) == ["OK", "EARLY"]
    assert statuses(scripts, RewardEntry(IDS[1], "k", "2.0|0||")) == ["DUP"]
    store.set(KEYS.skew, HORIZON_MS)
    finalise(scripts, *IDS[:2])
    scripts.run(orphan_call(KEYS, [IDS[2]]))

    assert IDS[1] in ids_in(store, KEYS.examples)
    assert foreign(store) == (name not in ("dead", "lease"))
    assert (read_books(scripts, KEYS).decisions != 0) == (name in ("counters", "due"))


@pytest.mark.parametrize(("field", "missing"), [("dec", -1), ("rew", 0), ("fin", 0)])
def test_a_counter_that_is_no_number_begins_anew(store, scripts, field, missing):
    """Nothing is done twice because of it, and the books say what it had counted."""
    decide(scripts, entry(IDS[0]))
    store.hset(KEYS.counters, field, "none")
    decide(scripts, *(entry(one) for one in IDS[1:]))
    reward(scripts, RewardEntry(IDS[0], "k", TAIL))
    store.set(KEYS.skew, HORIZON_MS)
    assert finalise(scripts, *IDS) == 3
    assert ids_in(store, KEYS.examples) == list(IDS)
    assert read_books(scripts, KEYS) == (missing, 0)


@pytest.mark.parametrize("name", SHARED)
def test_whoever_only_reads_can_have_them_thrown_away(store, scripts, name):
    """Each is named, once."""
    decide(scripts, entry(IDS[0]))
    spoil(store, getattr(KEYS, name))
    assert parse_heal(scripts.run(heal_call(KEYS))) == [getattr(KEYS, name)]
    assert parse_heal(scripts.run(heal_call(KEYS))) == []
    assert foreign(store) == 1
    assert not store.exists(getattr(KEYS, name)) or name == "counters"
