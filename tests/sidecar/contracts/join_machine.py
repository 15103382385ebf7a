"""Drives the scripts on a real store and the model side by side, and compares everything after each step."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sidecar.contracts.books import books, counters_of
from sidecar.contracts.events import MODES, encode_reward_tail, letter_of
from sidecar.contracts.ids import new_decision_id
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.activate import ActivateEntry, activate_call, parse_activate
from sidecar.contracts.scripts.call import NAMES, script_text
from sidecar.contracts.scripts.decide import DecideEntry, decide_call, parse_decide, split_stored
from sidecar.contracts.scripts.finalise import decode_rewards, finalise_call
from sidecar.contracts.scripts.orphan import decode_late, orphan_call
from sidecar.contracts.scripts.reward import (
    RewardEntry,
    RewardLimits,
    parse_reward,
    reward_call,
    target_fields,
    target_of,
)
from sidecar.contracts.store import Scripts
from tests.sidecar.contracts.join_model import CAP, EARLY, HORIZON, MOST, MOST_AWAITED, Model

JUMP_MS = 60_000
# Between two jumps, so that neither is reached early nor missed while the test itself takes its time.
HORIZON_MS = HORIZON * JUMP_MS - JUMP_MS // 2
EARLY_MS = EARLY * JUMP_MS - JUMP_MS // 2
TOMBSTONE_MS = 86_400_000
LIMITS = RewardLimits(EARLY_MS, TOMBSTONE_MS, MOST, MOST_AWAITED)

PARTITION = 2
IDS = tuple(new_decision_id(PARTITION, 1_700_000_000_000 + n, n) for n in range(7))
SESSION_OF = {decision_id: f"s-{n % 2}" for n, decision_id in enumerate(IDS)}

apps = itertools.count()
ids = st.sampled_from((*IDS[:3], *IDS[:3], *IDS))  # some are met more often
some_ids = st.one_of(st.just(list(IDS)), st.lists(ids, max_size=len(IDS), unique=True))
reward_keys = st.sampled_from(("k1", "k2", "k3", "k4"))
values = st.sampled_from((1.0, -2.5))
PALETTES = (("",), ("a",), ("e",), ("", "-"), ("ad", "a"), ("ed", "e"), ("", "a", "e", "d", "ad", "ed", "-"))
"""Flags of the decisions of one walk: few kinds beside each other meet more often."""
nth = st.integers(0, 6)
decisions = st.lists(
    st.tuples(ids, st.sampled_from(("", "a", "b")), st.sampled_from(("x", "x", "y")), nth),
    min_size=1,
    max_size=3,
)
rewards_of_one = st.builds(
    lambda i, given: [(i, *one) for one in given],
    ids,
    st.lists(st.tuples(reward_keys, values), min_size=2, max_size=3),
)
rewards = st.one_of(st.lists(st.tuples(ids, reward_keys, values), min_size=1, max_size=3), rewards_of_one)


def scripts_with(client, name="", old="", new=""):
    """The scripts, one of them altered in one place."""
    texts = {each: script_text(each) for each in NAMES}
    if name:
        assert texts[name].count(old) == 1, f"{old!r} is not in {name} exactly once"
        texts[name] = texts[name].replace(old, new)
    return Scripts(client, {each: client.register_script(text) for each, text in texts.items()})


class JoinMachine(RuleBasedStateMachine):
    def __init__(self, scripts):
        super().__init__()
        self.scripts, self.client = scripts, scripts.client
        self.clock_ms = 0
        self.keys, self.model = Keys(f"a{next(apps)}", PARTITION), Model()
        self.palette = PALETTES[-1]

    @initialize(palette=st.sampled_from(PALETTES))
    def choose(self, palette):
        self.palette = palette

    @rule(batch=decisions, sent=st.integers(1, 2))
    def decide(self, batch, sent):
        batch = [(*one, self.palette[nth % len(self.palette)]) for *one, nth in batch]
        entries = [
            entry_with(flags, i, SESSION_OF[i], HORIZON_MS, _payload(i, key, digest), key, digest)
            for i, key, digest, flags in batch
        ]
        call = decide_call(self.keys, entries, max_pending=CAP, tombstone_ms=TOMBSTONE_MS)
        for _ in range(sent):  # the second time as after a lost reply
            self.model.tick()
            answers = parse_decide(self.scripts.run(call))
            for entry, (*_, flags), answer in zip(entries, batch, answers, strict=True):
                want = self.model.decide(
                    entry.decision_id, entry.session_id, entry.client_key, entry.digest, entry.payload, flags
                )
                assert (answer.status, answer.decision_id) == want
                if answer.status in ("DUP", "FIN") and answer.decision_id == entry.decision_id:
                    assert answer.payload == self.model.payloads[entry.decision_id]

    @precondition(lambda self: any("d" in flags for flags in self.palette))
    @rule(some=some_ids, horizon=st.sampled_from((None, 1, 3)), sent=st.integers(1, 2))
    def activate(self, some, horizon, sent):
        horizon_ms = None if horizon is None else horizon * JUMP_MS - JUMP_MS // 2
        entries = [ActivateEntry(i, SESSION_OF[i], horizon_ms) for i in some]
        call = activate_call(self.keys, entries, tombstone_ms=TOMBSTONE_MS)
        for _ in range(sent):
            self.model.tick()
            answers = parse_activate(self.scripts.run(call))
            assert [(a.status, a.decision_id) for a in answers] == [
                (self.model.activate(i, horizon), i) for i in some
            ]

    @rule(batch=rewards, sent=st.integers(1, 2))
    def reward(self, batch, sent):
        call = reward_call(self.keys, [RewardEntry(i, k, _tail(v)) for i, k, v in batch], LIMITS)
        for _ in range(sent):
            self.model.tick()
            answers = parse_reward(self.scripts.run(call))
            assert [answer.status for answer in answers] == [self.model.reward(*entry) for entry in batch]

    @rule(session=st.sampled_from(("s-0", "s-1", "s-none")), key=reward_keys, value=values)
    def reward_session(self, session, key, value):
        target = target_of(self.client.hmget(self.keys.session(session), target_fields(key)))
        assert target == self.model.target(session, key)
        self._reward_session(session, target, key, value)

    @rule(old=ids, key=reward_keys, value=values)
    def reward_session_whose_target_was_read_long_ago(self, old, key, value):
        self._reward_session(SESSION_OF[old], old, key, value)

    def _reward_session(self, session, target, key, value):
        self.model.tick()
        call = reward_call(self.keys, [RewardEntry(target, key, _tail(value), session)], LIMITS)
        (answer,) = parse_reward(self.scripts.run(call))
        assert answer[:2] == self.model.reward_session(session, target, key, value)

    @rule(jumps=st.sampled_from((2, 1, 1, 3, -1)))
    def jump(self, jumps):
        self.model.raw += jumps
        self.client.set(self.keys.skew, self.model.raw * JUMP_MS)

    @rule(some=some_ids)
    def finalise(self, some):
        self.model.tick()
        self.scripts.run(finalise_call(self.keys, some, tombstone_ms=TOMBSTONE_MS))
        self.model.finalise(some)

    @rule(some=some_ids)
    def give_up(self, some):
        self.model.tick()
        self.scripts.run(orphan_call(self.keys, some))
        self.model.give_up(some)

    @invariant()
    def the_store_holds_what_the_model_holds(self):
        examples, late, counters, due, orphans, *of_ids = self._everything()
        self._check_streams(examples, late)
        self._check_clock(int(counters.get(b"clock_ms", 0)))
        assert (set(due), set(orphans)) == (set(self.model.due), set(self.model.orphans))
        counts = counters_of(counters)
        assert counts == {name: n for name, n in self.model.counters.items() if n}
        held = 0
        for decision_id, stored, rewards, ttl_ms in zip(
            IDS, of_ids[::3], of_ids[1::3], of_ids[2::3], strict=True
        ):
            self._check_decision(decision_id, stored, rewards, ttl_ms)
            held += len(rewards) if decision_id in (*self.model.due, *self.model.orphans) else 0
        assert books(counts, len(due), len(orphans), held) == (0, 0)

    def _everything(self):
        pipe = self.client.pipeline(transaction=True)
        pipe.xrange(self.keys.examples)
        pipe.xrange(self.keys.late)
        pipe.hgetall(self.keys.counters)
        pipe.zrange(self.keys.due, 0, -1)
        pipe.zrange(self.keys.orphans, 0, -1)
        for decision_id in IDS:
            pipe.get(self.keys.decision(decision_id))
            pipe.hgetall(self.keys.rewards(decision_id))
            pipe.pttl(self.keys.decision(decision_id))
        examples, late, counters, due, orphans, *of_ids = pipe.execute()
        return examples, late, counters, _texts(due), _texts(orphans), *of_ids

    def _check_clock(self, clock_ms):
        assert clock_ms >= self.clock_ms
        self.clock_ms = clock_ms

    def _check_streams(self, examples, late):
        final, lessons = split(examples)
        assert (final, lessons) == (self.model.examples, self.model.lessons)
        kept = [decode_late(PARTITION, *entry) for entry in late]
        assert Counter((k.kind, k.name, k.reward.key, k.reward.value) for k in kept) == self.model.late

    def _check_decision(self, decision_id, stored, rewards, ttl_ms):
        if stored is None:
            assert decision_id not in self.model.payloads
        else:
            found = split_stored(stored)
            assert found.payload == self.model.payloads[decision_id]
            assert letter_of(found.mode) == (self.model.modes[decision_id] or "w")
            assert found.deferred == (decision_id in self.model.deferred)
            assert (ttl_ms == -1) == (decision_id in self.model.due)
        texts = {key.decode(): text.decode() for key, text in rewards.items()}
        late = {key: _value(text[1:]) for key, text in texts.items() if text.startswith("L")}
        joined = {key: _value(text) for key, text in texts.items() if not text.startswith("L")}
        assert joined == self.model.rewards.get(decision_id, {})
        assert late == self.model.late_rewards.get(decision_id, {})


def entry_with(flags, decision_id, session, horizon_ms, payload, client_key, digest):
    """An entry as the model writes its flags."""
    mode, logged = MODES[flags.strip("d-") or "w"], flags != "-"
    more = (client_key, digest, mode, flags.endswith("d"), logged)
    return DecideEntry(decision_id, session, "arm", horizon_ms, payload, *more)


def split(entries):
    """Entries of the example stream as the model has them: rows by decision, and lessons in order."""
    final, lessons = {}, []
    for _, fields in entries:
        kind, decision_id, payload = fields[b"k"].decode(), fields[b"i"].decode(), fields[b"d"]
        rewards = {r.key: r.value for r in decode_rewards(fields.get(b"r", b""))}
        if kind in "FN":
            assert decision_id not in final, f"{decision_id} has left twice"
            final[decision_id] = kind, fields.get(b"m", b"").decode(), payload, rewards
        else:
            lessons.append((kind, decision_id, payload, rewards, fields.get(b"n", b"").decode()))
    return final, lessons


def explore(scripts, max_examples):
    """Random walks of up to 40 steps; raises what the first bad one raised.

    The same ones wherever the same modules are loaded: Hypothesis draws from the constants of these, too.
    """
    run_state_machine_as_test(
        lambda: JoinMachine(scripts),
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=40,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),  # a caught mutant need not be shrunk
            suppress_health_check=list(HealthCheck),  # the store is shared with whatever else runs here
        ),
    )


def _payload(decision_id, client_key, digest):
    return b"\x93\x00\xff" + f"{decision_id} {client_key} {digest}".encode()


def _tail(value):
    return encode_reward_tail(value, 0, "purchase", "")


def _value(text):
    return float(text.split("|")[1])


def _texts(members):
    return [member.decode() for member in members]
