"""Conversations with the store, and what keeps the join going."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from sidecar.contracts import journal, upkeep
from sidecar.contracts.events import encode_reward_tail
from sidecar.contracts.ids import new_decision_id
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.decide import DecideEntry
from sidecar.contracts.scripts.reward import RewardEntry, RewardLimits
from sidecar.contracts.store import AsyncScripts, Scripts, connect_async, store_now_ms, take_epoch

KEYS = Keys("shop", 1)
IDS = tuple(new_decision_id(1, 1_700_000_000_000 + n, n) for n in range(200))
DAY_MS, HORIZON_MS = 86_400_000, 1_800_000
LIMITS = RewardLimits(600_000, DAY_MS, 64, 1_000)
TAIL = encode_reward_tail(1.5, 0, "purchase", "")


def entry(n, session="s", **more):
    return DecideEntry(IDS[n], session, "sku-1", HORIZON_MS, f"payload {n}".encode(), **more)


@asynccontextmanager
async def scripts_at(url):
    client = connect_async(url, timeout_s=10.0)
    yield AsyncScripts.on(client)
    await client.aclose()


async def decide(scripts, *entries):
    return await journal.decide(scripts, KEYS, entries, max_pending=1_000, tombstone_ms=DAY_MS)


async def test_the_same_client_key_gives_the_stored_decision(store, store_url):
    """A repeat under a new id of ours answers with the first decision, pending or finalised."""
    async with scripts_at(store_url) as scripts:
        first, other = await decide(scripts, entry(0, client_key="k"), entry(1, "s2", client_key="k"))
        (pending,) = await decide(scripts, entry(2, client_key="k"))
        store.set(KEYS.skew, HORIZON_MS)
        upkeep.finalise_due(Scripts.on(store), KEYS, tombstone_ms=DAY_MS)
        (final,) = await decide(scripts, entry(3, client_key="k"))

    assert (first.status, other.status) == ("OK", "OK")
    assert pending == ("DUP", IDS[0], first.deadline_ms, b"payload 0")
    assert final == ("FIN", IDS[0], first.deadline_ms, b"payload 0")


async def test_a_client_key_means_one_decision_within_a_batch_too(store, store_url):
    """Two requests of one session that arrive together are one decision, or a conflict."""
    async with scripts_at(store_url) as scripts:
        answers = await decide(
            scripts,
            entry(0, client_key="k", digest="x"),
            entry(1, client_key="k", digest="x"),
            entry(2, client_key="k", digest="y"),
        )

    assert [(a.status, a.decision_id, a.payload) for a in answers] == [
        ("OK", IDS[0], None), ("DUP", IDS[0], b"payload 0"), ("CONFLICT", IDS[0], None)
    ]  # fmt: skip


async def test_a_reward_by_session_reaches_its_last_decision_and_stays_there(store, store_url):
    """Its retry, whose first reply was lost, goes to the same decision although the session has gone on."""
    async with scripts_at(store_url) as scripts:
        await decide(scripts, entry(0))
        given = [RewardEntry("", "order", TAIL, "s")]
        (first,) = await journal.reward(scripts, KEYS, given, LIMITS)
        await decide(scripts, entry(1))
        (again,) = await journal.reward(scripts, KEYS, given, LIMITS)
        (new,) = await journal.reward(scripts, KEYS, [RewardEntry("", "order 2", TAIL, "s")], LIMITS)

    assert (first[:2], again[:2], new[:2]) == (("OK", IDS[0]), ("DUP", IDS[0]), ("OK", IDS[1]))


async def test_rewards_by_session_race_with_new_decisions_and_none_is_lost(store, store_url):
    """While a session keeps deciding, each of its rewards is taken once."""
    async with scripts_at(store_url) as scripts:
        await decide(scripts, entry(0))

        async def decide_on():
            for n in range(1, 60):
                await decide(scripts, entry(n))

        async def reward_on():
            return [
                (await journal.reward(scripts, KEYS, [RewardEntry("", f"k{n}", TAIL, "s")], LIMITS))[0].status
                for n in range(60)
            ]

        _, statuses = await asyncio.gather(decide_on(), reward_on())

    taken = statuses.count("OK")
    assert taken + statuses.count("MOVED") == 60
    assert int(store.hget(KEYS.counters, "rew")) == taken
    assert upkeep.read_books(Scripts.on(store), KEYS, count_rewards=True) == (0, 0)


async def test_a_session_that_never_decided_is_unknown_once(store, store_url):
    """The reward is kept at once as an orphan; its retry is a repeat, even after the session decided."""
    given = [RewardEntry("", "order", TAIL, "s")]
    async with scripts_at(store_url) as scripts:
        (first,) = await journal.reward(scripts, KEYS, given, LIMITS)
        (again,) = await journal.reward(scripts, KEYS, given, LIMITS)
        await decide(scripts, entry(0))
        (later,) = await journal.reward(scripts, KEYS, given, LIMITS)

    assert (first[:2], again[:2], later[:2]) == (("UNKNOWN", ""), ("DUP", ""), ("DUP", ""))
    assert [(f[b"k"], f[b"i"], f[b"m"]) for _, f in store.xrange(KEYS.late)] == [(b"P", b"s", b"order")]
    assert upkeep.read_books(Scripts.on(store), KEYS, count_rewards=True) == (0, 0)


async def test_a_decision_is_found_with_what_came_of_it(store, store_url):
    """While pending and after; late rewards are told apart from those that joined."""
    async with scripts_at(store_url) as scripts:
        assert await journal.read_decision(scripts, KEYS, IDS[0]) is None
        await decide(scripts, entry(0))
        await journal.reward(scripts, KEYS, [RewardEntry(IDS[0], "in time", TAIL)], LIMITS)
        pending = await journal.read_decision(scripts, KEYS, IDS[0])
        store.set(KEYS.skew, HORIZON_MS)
        upkeep.finalise_due(Scripts.on(store), KEYS, tombstone_ms=DAY_MS)
        await journal.reward(scripts, KEYS, [RewardEntry(IDS[0], "too late", TAIL)], LIMITS)
        final = await journal.read_decision(scripts, KEYS, IDS[0])

    assert (pending.pending, final.pending) == (True, False)
    assert (pending.payload, pending.deadline_ms) == (final.payload, final.deadline_ms)
    assert pending.rewards == final.rewards
    assert ([r.key for r in final.rewards], [r.key for r in final.late_rewards]) == (
        ["in time"],
        ["too late"],
    )


async def test_upkeep_takes_bounded_batches_until_nothing_is_due(store, store_url):
    """No call stops the store for long, and what is not due stays."""
    scripts = Scripts.on(store)
    async with scripts_at(store_url) as on_loop:
        await decide(on_loop, *(entry(n) for n in range(150)))
        await journal.reward(on_loop, KEYS, [RewardEntry(i, "k", TAIL) for i in IDS[150:]], LIMITS)
        store.set(KEYS.skew, HORIZON_MS)
        await decide(on_loop, entry(150))

    steps = iter(lambda: upkeep.finalise_due(scripts, KEYS, tombstone_ms=DAY_MS), 0)
    assert list(steps) == [64, 64, 22]
    assert list(iter(lambda: upkeep.give_up_orphans(scripts, KEYS), 0)) == [49]
    assert upkeep.read_books(scripts, KEYS) == (0, 0)
    assert upkeep.read_books(scripts, KEYS, count_rewards=True) == (0, 0)
    assert store.zrange(KEYS.due, 0, -1) == [IDS[150].encode()]


def test_epochs_only_grow(store):
    """Who comes later fences off who came before."""
    assert [take_epoch(store, "shop") for _ in range(3)] == [1, 2, 3]


def test_the_partitions_time_follows_the_skew_and_never_goes_back(store):
    """Tests move it forward; a clock that jumps back stands still instead."""
    before = store_now_ms(store, KEYS)
    store.hset(KEYS.counters, "clock_ms", before + 5_000_000)
    assert store_now_ms(store, KEYS) == before + 5_000_000
    store.set(KEYS.skew, 9_000_000)
    assert store_now_ms(store, KEYS) >= before + 9_000_000
