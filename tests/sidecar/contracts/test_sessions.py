"""What a session keeps, and which of its decisions a reward by session reaches, by the store's scripts."""

from __future__ import annotations

import pytest

from sidecar.contracts import journal, upkeep
from sidecar.contracts.events import encode_reward_tail
from sidecar.contracts.scripts.reward import ALL, RewardEntry, by_arm
from sidecar.contracts.store import Scripts
from tests.sidecar.contracts.test_journal import (
    DAY_MS,
    HORIZON_MS,
    IDS,
    KEYS,
    LIMITS,
    decide,
    entry,
    scripts_at,
)


def reward(key, rule, value=1.0, session="s"):
    return RewardEntry("", key, encode_reward_tail(value, 0, "purchase", ""), session, rule)


async def take(scripts, *entries):
    return await journal.reward(scripts, KEYS, entries, LIMITS)


def rewards_of(store, n):
    return {key.decode() for key in store.hkeys(KEYS.rewards(IDS[n]))}


async def test_by_arm_the_last_decision_that_showed_it(store, store_url):
    """In whatever slot; an arm that the session never saw is nobody's."""
    async with scripts_at(store_url) as scripts:
        await decide(
            scripts,
            entry(0, arms=("hat", "shoe")),
            entry(1, arms=("hat",)),
            entry(2, arms=("sock",)),
            entry(3, "other", arms=("belt",)),
        )
        answers = await take(
            scripts, *(reward(f"k-{arm}", by_arm(arm)) for arm in ("shoe", "hat", "sock", "belt"))
        )

    assert answers == [("OK", IDS[0], ()), ("OK", IDS[1], ()), ("OK", IDS[2], ()), ("UNKNOWN", "", ())]
    assert rewards_of(store, 1) == {"k-hat"}


async def test_a_retry_by_arm_goes_where_it_went(store, store_url):
    """Also when the session was shown the arm again meanwhile."""
    async with scripts_at(store_url) as scripts:
        await decide(scripts, entry(0, arms=("hat",)))
        await take(scripts, reward("order", by_arm("hat")))
        await decide(scripts, entry(1, arms=("hat",)))
        (again,) = await take(scripts, reward("order", by_arm("hat")))
        (other,) = await take(scripts, reward("another", by_arm("hat")))

    assert (again, other) == (("DUP", IDS[0], ()), ("OK", IDS[1], ()))


async def test_all_reaches_each_decision_of_the_session_once(store, store_url):
    """Those that still take rewards, the newest first; a retry reaches the same ones, and none twice."""
    async with scripts_at(store_url) as scripts:
        await decide(scripts, entry(0), entry(1), entry(2, "other"))
        (first,) = await take(scripts, reward("order", ALL))
        await decide(scripts, entry(3))
        again, fresh = await take(scripts, reward("order", ALL), reward("next", ALL))

    assert first == ("OK", IDS[1], (IDS[1], IDS[0]))
    assert again == ("DUP", IDS[1], (IDS[1], IDS[0]))
    assert fresh == ("OK", IDS[3], (IDS[3], IDS[1], IDS[0]))
    assert [rewards_of(store, n) for n in range(4)] == [{"order", "next"}, {"order", "next"}, set(), {"next"}]


async def test_all_of_a_session_whose_decisions_have_ended(store, store_url):
    """Its last one says that it is late; one without any is nobody's; each once."""
    async with scripts_at(store_url) as scripts:
        await decide(scripts, entry(0), entry(1))
        store.set(KEYS.skew, HORIZON_MS)
        upkeep.finalise_due(Scripts.on(store), KEYS, tombstone_ms=DAY_MS)
        late, nobody, again = await take(
            scripts, reward("late", ALL), reward("k", ALL, session="?"), reward("k", ALL, session="?")
        )

    assert late == ("LATE", IDS[1], ())
    assert (nobody, again) == (("UNKNOWN", "", ()), ("DUP", "", ()))


async def test_all_reaches_the_latest_sixty_four(store, store_url):
    """More would hold the store up."""
    async with scripts_at(store_url) as scripts:
        await decide(scripts, *(entry(n) for n in range(100)))
        (answer,) = await take(scripts, reward("order", ALL))

    assert answer.all_ids == tuple(reversed(IDS[36:100]))


async def test_a_session_keeps_its_decision_for_the_window(store, store_url):
    """Asked for the same again: the stored one, whether pending or final; after the window a new one."""
    window_ms = HORIZON_MS + 60_000
    same = {"sticky": "the same", "sticky_ms": window_ms}
    async with scripts_at(store_url) as scripts:
        first, within = await decide(scripts, entry(0, **same), entry(1, **same))
        (other,) = await decide(scripts, entry(2, sticky="another", sticky_ms=window_ms))
        (unlogged,) = await decide(scripts, entry(3, **same, logged=False))
        store.set(KEYS.skew, HORIZON_MS)
        upkeep.finalise_due(Scripts.on(store), KEYS, tombstone_ms=DAY_MS)
        (final,) = await decide(scripts, entry(4, **same))
        store.set(KEYS.skew, window_ms)
        new, kept = await decide(scripts, entry(5, **same), entry(6, **same))

    assert (first.status, other.status, new.status) == ("OK", "OK", "OK")
    assert within == unlogged == ("DUP", IDS[0], first.deadline_ms, b"payload 0")
    assert final == ("FIN", IDS[0], first.deadline_ms, b"payload 0")
    assert kept[:2] == ("DUP", IDS[5])


@pytest.mark.parametrize("value", ["", "?|x", "|12", f"{IDS[0]}|x", "9" * 400])
async def test_foreign_bytes_in_a_session_keep_nothing(store, store_url, value):
    """The decision is made anew; nothing fails."""
    store.hset(KEYS.session("s"), mapping={"t:same": value, "a:hat": value, "w:k": value, "d:x": value})
    async with scripts_at(store_url) as scripts:
        (made,) = await decide(scripts, entry(1, sticky="same", sticky_ms=1000, arms=("sock",)))
        answers = await take(scripts, reward("k2", by_arm("hat")), reward("k3", ALL))

    assert made.status == "OK"
    assert [answer.status for answer in answers] == ["UNKNOWN", "OK"]
