"""Stories of the scripts that the model does not tell: bad batches, the memory limit, expiry, keys."""

from __future__ import annotations

import msgpack
import msgspec
import pytest
import redis
from redis.crc import key_slot

from sidecar.contracts.books import books, counters_of
from sidecar.contracts.events import encode_reward_tail
from sidecar.contracts.ids import new_decision_id
from sidecar.contracts.keys import Keys
from sidecar.contracts.models import ModelInfo
from sidecar.contracts.scripts.activate import ActivateEntry, activate_call
from sidecar.contracts.scripts.call import Call
from sidecar.contracts.scripts.decide import DecideEntry, DecideStatus, decide_call, parse_decide
from sidecar.contracts.scripts.finalise import finalise_call
from sidecar.contracts.scripts.models import (
    KeepStatus,
    PinStatus,
    forget_call,
    keep_call,
    parse_keep,
    parse_pin,
    pin_call,
    serving_call,
)
from sidecar.contracts.scripts.orphan import orphan_call
from sidecar.contracts.scripts.publish import Batch, Publication, publish_call
from sidecar.contracts.scripts.reward import RewardEntry, RewardLimits, parse_reward, reward_call
from sidecar.contracts.scripts.strangers import strangers_call
from sidecar.contracts.store import Scripts

KEYS = Keys("shop", 1)
IDS = tuple(new_decision_id(1, 1_700_000_000_000 + n, n) for n in range(3))
MODAL = new_decision_id(1, 1_700_000_000_100, 9)
DAY_MS = 86_400_000
HORIZON_MS = 1_800_000
LIMITS = RewardLimits(600_000, DAY_MS, 64, 1_000)
TAIL = encode_reward_tail(1.5, 0, "purchase", "sku-1")


def entry(decision_id, session="s", payload=b"\xff payload", **more):
    return DecideEntry(decision_id, session, "sku-1", HORIZON_MS, payload, **more)


def decide(scripts, *entries, cap=100):
    call = decide_call(KEYS, entries, max_pending=cap, tombstone_ms=DAY_MS)
    return parse_decide(scripts.run(call))


def reward(scripts, *entries):
    return parse_reward(scripts.run(reward_call(KEYS, entries, LIMITS)))


def finalise(scripts, *ids):
    return scripts.run(finalise_call(KEYS, ids, tombstone_ms=DAY_MS))


@pytest.fixture
def scripts(store):
    return Scripts.on(store)


GOOD = ["0-1", "", "", "sku-1", "1000", "1", b"payload", ""]


@pytest.mark.parametrize(
    "bad",
    [
        ["0-2", "", "", "sku-1", "1000", "1", b"payload"],
        ["0-2", "", "", "sku-1", 1000, "1", b"payload", ""],
        ["0-2", "", "", "sku-1", "-1", "1", b"payload", ""],
        ["0-2", "", "", "sku-1", "1000", "x", b"payload", ""],
        ["", "", "", "sku-1", "1000", "1", b"payload", ""],
        ["0-2", "", "", "sku-1", "1000", "1", b"", ""],
        ["0-2", "", "", "sku-1", "1000", "1", b"payload", "w"],
        ["0-2", "", "", "sku-1", "1000", "1", b"payload", "de"],
        ["0-2", "", "", "sku-1", "1000", "1", b"payload", "a|d"],
        "no list",
        None,
    ],
)
def test_a_batch_of_decisions_with_a_bad_one_leaves_nothing_behind(store, scripts, bad):
    """The good decision before the bad one is not written either: all is checked before the first write."""
    keys = decide_call(KEYS, [entry(i) for i in IDS[:2]], max_pending=1, tombstone_ms=1).keys
    packed = msgpack.packb([GOOD, bad], use_bin_type=False)

    with pytest.raises(redis.ResponseError, match="BADBATCH"):
        scripts.run(Call("decide", keys, (packed, 100, DAY_MS)))
    assert store.keys() == []


@pytest.mark.parametrize("args", [("x", DAY_MS), (100, 0), (100,)])
def test_decide_refuses_arguments_that_it_does_not_know(store, scripts, args):
    """No cap and no tombstone time are errors, not defaults."""
    keys = decide_call(KEYS, [entry(IDS[0])], max_pending=1, tombstone_ms=1).keys

    with pytest.raises(redis.ResponseError, match="BADBATCH"):
        scripts.run(Call("decide", keys, (msgpack.packb([GOOD], use_bin_type=False), *args)))
    assert store.keys() == []


@pytest.mark.parametrize(
    "tail", ["nan|0|e|", "inf|0|e|", "-1e999|0|e|", "|0|e|", "1.0", "x|0|e|", "1.0|x|e|"]
)
def test_a_batch_of_rewards_with_a_bad_one_leaves_nothing_behind(store, scripts, tail):
    """A value that is no finite number would poison a model: neither it nor its neighbours are written."""
    with pytest.raises(redis.ResponseError, match="BADBATCH"):
        reward(scripts, RewardEntry(IDS[0], "k", TAIL), RewardEntry(IDS[1], "k", tail))
    assert store.keys() == []


def test_finalising_goes_on_at_the_memory_limit(store, scripts):
    """Where new decisions are refused whole, the script that frees memory still runs."""
    decide(scripts, *(entry(i) for i in IDS[:2]))
    reward(scripts, RewardEntry(IDS[0], "k", TAIL), RewardEntry(IDS[2], "k", TAIL))
    store.set(KEYS.skew, HORIZON_MS + 1)
    before = store.hgetall(KEYS.counters)
    store.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            decide(scripts, entry(IDS[2]))
        assert store.hgetall(KEYS.counters) == before
        assert finalise(scripts, *IDS[:2]) == 2
        assert scripts.run(orphan_call(KEYS, [IDS[2]])) == 1
    finally:
        store.config_set("maxmemory", 0)
    assert (store.xlen(KEYS.examples), store.xlen(KEYS.late)) == (2, 1)


def test_nothing_expires_before_it_is_logged(store, scripts):
    """Pending decisions and their rewards have no expiry; what stays after finalising has its own each."""
    decide(scripts, entry(IDS[0]))
    reward(scripts, RewardEntry(IDS[0], "k", TAIL))
    pending = [KEYS.decision(IDS[0]), KEYS.rewards(IDS[0]), KEYS.due, KEYS.counters]
    assert [store.pttl(key) for key in pending] == [-1, -1, -1, -1]

    store.set(KEYS.skew, HORIZON_MS)
    scripts.run(finalise_call(KEYS, [IDS[0]], tombstone_ms=DAY_MS, retention_ms=5_000_000))

    lives = [store.pttl(k) for k in (KEYS.decision(IDS[0]), KEYS.rewards(IDS[0]), KEYS.finalised(IDS[0]))]
    assert [round(life / 1_000_000) for life in lives] == [5, 86, 86]
    assert store.pttl(KEYS.examples) == -1


def test_a_session_is_remembered_as_long_as_its_longest_decision(store, scripts):
    """A later decision with a shorter horizon does not shorten what an earlier one was promised."""
    decide(scripts, entry(IDS[0]))
    decide(scripts, DecideEntry(IDS[1], "s", "sku-1", 1, b"p"))

    assert store.pttl(KEYS.session("s")) > HORIZON_MS + DAY_MS - 60_000
    assert store.object("encoding", KEYS.finalised(IDS[0])) is None


def test_a_batch_of_thousands_is_written_whole_and_knows_its_own_beginning(store, scripts):
    """What is told twice in one call is there once, and counts against the limit from its first place on."""
    ids = [new_decision_id(1, 1_700_000_000_000, n) for n in range(2_500)]
    many = [entry(i, session=f"s{n % 99}", client_key=i) for n, i in enumerate(ids)]
    *told, again, by_key, full = decide(
        scripts, *many, many[0], entry(MODAL, "s1", client_key=ids[1]), entry(MODAL), cap=2_500
    )
    assert {answer.status for answer in told} == {"OK"}
    assert again == (DecideStatus.DUP, ids[0], told[0].deadline_ms, b"\xff payload")
    assert by_key == (DecideStatus.DUP, ids[1], told[1].deadline_ms, b"\xff payload")
    assert full.status == "FULL"
    assert store.zcard(KEYS.due) == len(store.keys(KEYS.decision("*"))) == 2_500
    assert int(store.hget(KEYS.counters, "dec")) == 2_500


def test_a_final_decision_is_known_among_thousands_of_new_ones(store, scripts):
    """Whether there is any tombstone is asked for all of a batch, in lots; it may lie in the last of them."""
    decide(scripts, entry(MODAL))
    store.set(KEYS.skew, HORIZON_MS)
    assert finalise(scripts, MODAL) == 1
    many = [entry(new_decision_id(1, 1_700_000_000_000, n)) for n in range(1_001)]

    *told, final = decide(scripts, *many, entry(MODAL), cap=2_000)

    assert {answer.status for answer in told} == {"OK"}
    assert (final.status, final.decision_id, final.payload) == ("FIN", MODAL, b"\xff payload")
    assert store.zcard(KEYS.due) == 1_001


def test_decisions_of_a_batch_end_each_at_its_own_horizon(store, scripts):
    """And each session stays known by its own, whether it was known before or not."""
    horizons = (HORIZON_MS, 1_000, 1_000, HORIZON_MS)
    ids = [new_decision_id(1, 1_700_000_000_000, n) for n in range(4)]
    some = [DecideEntry(i, f"s{n}", "sku-1", horizons[n], b"p") for n, i in enumerate(ids)]
    store.hset(KEYS.session("s1"), "last", ids[0])  # foreign: without an expiry

    told = decide(scripts, *some)

    ends = [answer.deadline_ms for answer in told]
    assert [end - ends[1] for end in ends] == [HORIZON_MS - 1_000, 0, 0, HORIZON_MS - 1_000]
    assert [store.zscore(KEYS.due, i) for i in ids] == ends
    lives = [store.pttl(KEYS.session(f"s{n}")) - DAY_MS for n in range(4)]
    assert [horizon - 60_000 < life <= horizon for life, horizon in zip(lives, horizons, strict=True)] == [
        True
    ] * 4


def test_a_session_that_comes_again_stays_known_for_longer(store, scripts):
    """Its last decision can be named as long as its first one could."""
    decide(scripts, entry(IDS[0]))
    store.pexpire(KEYS.session("s"), 1_000)

    decide(scripts, entry(IDS[1]))

    assert store.pttl(KEYS.session("s")) > HORIZON_MS + DAY_MS - 60_000


def test_an_answer_is_gone_but_its_decision_stays_final(store, scripts):
    """After the retention a repeat is still recognised, though its answer can no longer be given."""
    decide(scripts, entry(IDS[0], client_key="mine"))
    store.set(KEYS.skew, HORIZON_MS)
    scripts.run(finalise_call(KEYS, [IDS[0]], tombstone_ms=DAY_MS, retention_ms=0))

    (same_id,) = decide(scripts, entry(IDS[0], client_key="mine"))
    (same_key,) = decide(scripts, entry(IDS[1], client_key="mine"))

    assert [(a.status, a.decision_id, a.payload) for a in (same_id, same_key)] == [("FIN", IDS[0], None)] * 2


def test_tombstones_are_small_integers(store, scripts):
    """They are what is kept longest: eight bytes each, not a string."""
    decide(scripts, entry(IDS[0]))
    store.set(KEYS.skew, HORIZON_MS)
    finalise(scripts, IDS[0])

    assert store.object("encoding", KEYS.finalised(IDS[0])) == b"intset"


def test_a_decision_that_the_store_lost_shows_in_the_books(store, scripts):
    """It is not finalised as something else, does not stop the others, and its rewards are not forgotten."""
    decide(scripts, entry(IDS[0]), entry(IDS[1]))
    reward(scripts, RewardEntry(IDS[0], "k", TAIL))
    store.delete(KEYS.decision(IDS[0]))
    store.set(KEYS.skew, HORIZON_MS)

    assert finalise(scripts, *IDS[:2]) == 1
    assert scripts.run(orphan_call(KEYS, [IDS[0]])) == 1
    assert books(counters_of(store.hgetall(KEYS.counters)), 0, 0, 0) == (1, 0)


INFO = ModelInfo(
    version=1,
    epoch=1,
    bits=8,
    interactions=(),
    examples=0,
    positions=(),
    trained_until_ms=0,
    record_bytes=1,
    checksum="",
    used=0,
    norm=0.0,
    largest=0.0,
)


def test_a_version_is_kept_once_and_under_the_last_epoch_only(store, scripts):
    """Again is no harm, another content changes nothing, and a paused learner is fenced off."""
    assert [parse_keep(scripts.run(keep_call("shop", INFO, record))) for record in (b"one", b"two")] == [
        KeepStatus.OK,
        KeepStatus.KEPT,
    ]
    assert store.hgetall("{shop}:w:models") == {b"1": b"one"}
    store.set("{shop}:epoch", 3)
    other = msgspec.structs.replace(INFO, version=2)
    assert parse_keep(scripts.run(keep_call("shop", other, b"x", epoch=2))) is KeepStatus.FENCED
    assert parse_keep(scripts.run(keep_call("shop", other, b"x", epoch=3))) is KeepStatus.OK


def test_only_what_is_kept_can_be_pinned_and_a_pinned_one_is_not_forgotten(store, scripts):
    """And each change is told once."""
    scripts.run(keep_call("shop", INFO, b"one"))
    calls = [pin_call("shop", version, "why") for version in (2, 1, 1)]
    assert [parse_pin(scripts.run(call)) for call in calls] == [
        PinStatus.UNKNOWN,
        PinStatus.OK,
        PinStatus.SAME,
    ]
    assert scripts.run(forget_call("shop", [1])) == 0
    assert [parse_pin(scripts.run(pin_call("shop", None, ""))) for _ in range(2)] == [
        PinStatus.OK,
        PinStatus.SAME,
    ]
    assert scripts.run(forget_call("shop", [1])) == 1
    assert not store.exists("{shop}:w:infos", "{shop}:w:models", "{shop}:w:pin")
    told = [fields for _, fields in store.xrange("{shop}:w:notices")]
    assert [(one[b"pinned"], one[b"before"]) for one in told] == [(b"1", b""), (b"", b"1")]


def test_a_sidecar_that_is_silent_for_long_is_off_the_list(store, scripts):
    """By the store's clock, at the next word of another."""
    scripts.run(serving_call("shop", "a:1", 1, False, ""))
    store.set("{shop}:skew", 600_001)
    scripts.run(serving_call("shop", "b:1", 2, True, "|odd|"))
    (left,) = store.hgetall("{shop}:w:serving").items()
    assert left[0] == b"b:1"
    assert left[1].endswith(b"|2|1||odd|")


def test_scripts_touch_only_the_keys_that_they_declare(store, scripts):
    """A user who may touch nothing else can run every one of them, so a cluster can move their slot."""
    entries = [entry(IDS[0], client_key="mine"), entry(IDS[1], client_key="mine")]
    modal = entry(MODAL, mode="assume", deferred=True)
    given = [
        RewardEntry(IDS[0], "k", TAIL),
        RewardEntry(IDS[0], "k2", TAIL, "s"),
        RewardEntry("", "k", TAIL, "x"),
    ]
    publication = Publication(
        epoch=1, version=1, record=b"w", positions=("0-0",), examples=0, batches=(), checksum="c"
    )
    calls = [
        reward_call(KEYS, [RewardEntry(IDS[0], "early", TAIL), RewardEntry(IDS[2], "early", TAIL)], LIMITS),
        decide_call(KEYS, entries, max_pending=9, tombstone_ms=DAY_MS),
        decide_call(KEYS, entries, max_pending=9, tombstone_ms=DAY_MS),
        reward_call(KEYS, given, LIMITS),
        reward_call(KEYS, given, LIMITS),
        decide_call(KEYS, [modal], max_pending=9, tombstone_ms=DAY_MS),
        activate_call(KEYS, [ActivateEntry(MODAL, "s", 1), ActivateEntry(IDS[0], "")], tombstone_ms=DAY_MS),
        reward_call(KEYS, [RewardEntry(MODAL, "k", TAIL)], LIMITS),
        strangers_call(KEYS, [b"who?"]),
        finalise_call(KEYS, IDS[:2], tombstone_ms=DAY_MS),
        orphan_call(KEYS, [IDS[2]]),
        publish_call("shop", publication),
        keep_call("shop", INFO, b"w", epoch=1),
        pin_call("shop", 1, "why"),
        serving_call("shop", "host:1", 1, True, ""),
        forget_call("shop", [1]),
    ]
    path = store.connection_pool.connection_kwargs["path"]
    for call in calls:
        patterns = [f"~{key}" for key in call.keys]
        store.set(KEYS.skew, HORIZON_MS if call.script in ("finalise", "orphan") else 0)
        store.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">pw", "+@all", *patterns)
        with redis.Redis(unix_socket_path=path, username="narrow", password="pw") as narrow:
            Scripts.on(narrow).run(call)
            with pytest.raises(redis.exceptions.NoPermissionError):
                narrow.get("another key")
        assert len({key_slot(key.encode()) for key in call.keys}) == 1
    store.execute_command("ACL", "DELUSER", "narrow")
    assert (store.xlen(KEYS.examples), store.xlen(KEYS.late)) == (3, 2)


def test_an_id_that_is_named_twice_is_closed_once(store, scripts):
    """Two rows of one decision would be counted twice by whoever reads them."""
    decide(scripts, entry(IDS[0]))
    store.set(KEYS.skew, HORIZON_MS)
    assert finalise(scripts, IDS[0], IDS[0]) == 1
    assert store.xlen(KEYS.examples) == 1


def test_ids_and_keys_of_any_text_survive(store, scripts):
    """Session ids, client keys and reward keys are the client's: any text, separators included."""
    odd = "s|{x}:\u2713 \n"
    decide(scripts, entry(IDS[0], session=odd, client_key=odd, digest="d|e"))

    (again,) = decide(scripts, entry(IDS[1], session=odd, client_key=odd, digest="d|e"))
    (given,) = reward(scripts, RewardEntry(IDS[0], odd, TAIL, odd))

    assert (again.status, again.decision_id) == ("DUP", IDS[0])
    assert given[:2] == ("OK", IDS[0])


class TestPublish:
    """The fenced write of weights."""

    def publication(self, **changes):
        fields = {
            "epoch": 1,
            "version": 1,
            "record": b"\x00weights",
            "positions": ("5-1", "0-0"),
            "examples": 10,
            "batches": (Batch(0, "1-0", "5-1"),),
            "checksum": "abc",
        }
        return publish_call("shop", Publication(**{**fields, **changes}))

    def test_all_of_it_or_nothing(self, store, scripts):
        """One call writes the record with its positions, and the notice."""
        assert scripts.run(self.publication()) == b"OK"

        stored = store.hgetall("{shop}:w")
        assert stored.pop(b"clock_ms")
        assert stored == {
            b"record": b"\x00weights",
            b"version": b"1",
            b"epoch": b"1",
            b"positions": b'["5-1","0-0"]',
            b"checksum": b"abc",
        }
        assert [fields for _, fields in store.xrange("{shop}:w:log")] == [
            {b"version": b"1", b"epoch": b"1", b"examples": b"10", b"batches": b'[[0,"1-0","5-1"]]',
             b"checksum": b"abc"}
        ]  # fmt: skip

    def test_the_same_again_is_fine_and_changes_nothing(self, store, scripts):
        """A learner whose reply was lost publishes once more."""
        assert [scripts.run(self.publication()) for _ in range(2)] == [b"OK", b"OK"]
        assert store.xlen("{shop}:w:log") == 1

    def test_another_of_the_same_version_is_stale(self, store, scripts):
        """Two learners of one epoch cannot both have trained version 2."""
        scripts.run(self.publication(version=2))

        assert scripts.run(self.publication(version=2, checksum="other")) == b"STALE"
        assert scripts.run(self.publication(version=1)) == b"STALE"
        assert store.xlen("{shop}:w:log") == 1

    def test_a_learner_that_was_paused_is_fenced_off(self, store, scripts):
        """From the moment another one takes over, not only from its first publication."""
        store.incr("{shop}:epoch", 2)

        assert scripts.run(self.publication(epoch=1)) == b"FENCED"
        assert scripts.run(self.publication(epoch=2)) == b"OK"
        store.delete("{shop}:epoch")
        assert scripts.run(self.publication(epoch=1, version=9)) == b"FENCED"


def test_a_tombstone_outlives_the_rewards_beside_it(store, scripts):
    """Otherwise the next late reward counts as early, and what had been joined is given up with it once more.

    The tombstone is taken away as its expiry would, where it does not outlive the rewards' memory.
    """
    decide(scripts, entry(IDS[0]))
    reward(scripts, RewardEntry(IDS[0], "joined", TAIL))
    store.set(KEYS.skew, HORIZON_MS + 1)
    finalise(scripts, IDS[0])
    store.pexpire(KEYS.finalised(IDS[0]), 1_000_000)  # most of a day later
    assert reward(scripts, RewardEntry(IDS[0], "late", TAIL))[0].status == "LATE"
    if store.pttl(KEYS.finalised(IDS[0])) < store.pttl(KEYS.rewards(IDS[0])):
        store.delete(KEYS.finalised(IDS[0]))
    assert reward(scripts, RewardEntry(IDS[0], "later", TAIL))[0].status == "LATE"
    store.set(KEYS.skew, HORIZON_MS + LIMITS.early_ms + 60_000)
    scripts.run(orphan_call(KEYS, [IDS[0]]))
    kept = [(fields[b"k"], fields[b"m"]) for _, fields in store.xrange(KEYS.late)]
    assert kept == [(b"L", b"late"), (b"L", b"later")]
    assert books(counters_of(store.hgetall(KEYS.counters)), 0, 0).balanced
