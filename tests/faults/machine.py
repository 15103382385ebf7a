"""All scripts on a real store, over several partitions, beside models of them; compared after each step.

``tests/sidecar/contracts/join_machine.py`` looks at one partition in every detail. Here are many, what the
learner itself does to close decisions, publishing by several learners, and the gauge of the books.
"""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from policy_learner.join.source import close_due, find_due
from sidecar.contracts import keys as app_keys
from sidecar.contracts.events import encode_reward_tail
from sidecar.contracts.ids import new_decision_id, partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.activate import ActivateEntry, activate_call, parse_activate
from sidecar.contracts.scripts.decide import decide_call, parse_decide
from sidecar.contracts.scripts.orphan import decode_late
from sidecar.contracts.scripts.publish import Publication, parse_publish, publish_call
from sidecar.contracts.scripts.reward import RewardEntry, RewardLimits, parse_reward, reward_call
from sidecar.contracts.store import take_epoch
from sidecar.contracts.upkeep import read_books
from tests.faults.publish_model import PublishModel
from tests.sidecar.contracts.join_machine import entry_with, nth, split
from tests.sidecar.contracts.join_model import CAP, EARLY, HORIZON, MOST, MOST_AWAITED, Model

JUMP_MS = 60_000
HORIZON_MS = HORIZON * JUMP_MS - JUMP_MS // 2  # between two jumps: the test's own time decides nothing
EARLY_MS = EARLY * JUMP_MS - JUMP_MS // 2
TOMBSTONE_MS = 86_400_000
LIMITS = RewardLimits(EARLY_MS, TOMBSTONE_MS, MOST, MOST_AWAITED)
SESSIONS = tuple(f"s-{n}" for n in range(5))

apps = itertools.count()
places = st.sampled_from((0, 1, 2, *range(10)))  # some are met more often
some_places = st.one_of(st.just(list(range(10))), st.lists(places, min_size=1, max_size=4, unique=True))
decisions = st.lists(
    st.tuples(places, st.sampled_from(("", "", "a")), st.sampled_from("xxy"), nth), min_size=2, max_size=6
)
given = st.lists(
    st.tuples(st.sampled_from(("k1", "k2", "k3", "k4")), st.sampled_from((1.0, -2.5))), min_size=1, max_size=4
)
rewards_of_one = st.builds(lambda place, given: [(place, *one) for one in given], places, given)
rewards = st.lists(rewards_of_one, min_size=1, max_size=3).map(lambda some: [*itertools.chain(*some)])
PALETTES = (("", "a", "e"), ("d", "ad", "ed"), ("", "a", "e", "d", "ad", "ed", "-"))
"""Flags of the decisions of a walk."""


class PartitionsMachine(RuleBasedStateMachine):
    def __init__(self, scripts, partitions, palette=PALETTES[0]):
        super().__init__()
        self.scripts, self.client, self.app = scripts, scripts.client, f"m{next(apps)}"
        self.partitions = [Keys(self.app, p) for p in range(partitions)]
        self.models = [Model() for _ in self.partitions]
        self.published, self.epochs = PublishModel(), []
        self.of_session = {s: partition_of_session(s, partitions) for s in SESSIONS}
        self.sessions = [SESSIONS[n % len(SESSIONS)] for n in range(10)]
        self.ids = [
            new_decision_id(self.of_session[s], 1_700_000_000_000 + n, n) for n, s in enumerate(self.sessions)
        ]
        self.used = sorted(set(self.of_session.values()))
        self.palette = palette

    @rule(
        first=rewards, batch=decisions, shown=some_places, then=rewards, jumps=st.sampled_from((0, 0, 1, 2))
    )
    def turn(self, first, batch, shown, then, jumps):
        """What usually happens, in its order: a walk of single steps seldom comes to an end of anything."""
        self.reward(first[:1], 1)
        self.decide(batch)
        self.reward(then, 1)
        if any("d" in flags for flags in self.palette):
            self.activate(shown[:3], None, 1)
        self.reward(first, 1)
        self.jump(jumps, list(range(10)), then_close=True)

    @rule(batch=decisions)
    def decide(self, batch):
        for place, client_key, digest, which in batch:
            self._decide(place, client_key, digest, self.palette[which % len(self.palette)])

    def _decide(self, place, client_key, digest, flags):
        decision_id, session = self.ids[place], self.sessions[place]
        partition = self.of_session[session]
        entry = entry_with(flags, decision_id, session, HORIZON_MS, b"\xff payload", client_key, digest)
        call = decide_call(self.partitions[partition], [entry], max_pending=CAP, tombstone_ms=TOMBSTONE_MS)
        self.models[partition].tick()
        (answer,) = parse_decide(self.scripts.run(call))
        want = self.models[partition].decide(decision_id, session, client_key, digest, entry.payload, flags)
        assert (answer.status, answer.decision_id) == want

    @precondition(lambda self: any("d" in flags for flags in self.palette))
    @rule(some=some_places, horizon=st.sampled_from((None, 1, 3)), sent=st.integers(1, 2))
    def activate(self, some, horizon, sent):
        horizon_ms = None if horizon is None else horizon * JUMP_MS - JUMP_MS // 2
        for place in some * sent:
            decision_id, session = self.ids[place], self.sessions[place]
            partition = self.of_session[session]
            entry = ActivateEntry(decision_id, session, horizon_ms)
            self.models[partition].tick()
            call = activate_call(self.partitions[partition], [entry], tombstone_ms=TOMBSTONE_MS)
            (answer,) = parse_activate(self.scripts.run(call))
            assert answer.status == self.models[partition].activate(decision_id, horizon)

    @rule(batch=rewards, sent=st.integers(1, 2))
    def reward(self, batch, sent):
        for place, key, value in batch * sent:
            partition = self.of_session[self.sessions[place]]
            entry = RewardEntry(self.ids[place], key, encode_reward_tail(value, 0, "purchase", ""))
            self.models[partition].tick()
            call = reward_call(self.partitions[partition], [entry], LIMITS)
            (answer,) = parse_reward(self.scripts.run(call))
            assert answer.status == self.models[partition].reward(entry.decision_id, key, value)

    @rule(jumps=st.sampled_from((1, 1, 2, 3, -1)), some=some_places, then_close=st.booleans())
    def jump(self, jumps, some, then_close=False):
        """The clock of some partitions' stores, of which there may be several, forwards or backwards."""
        for partition in {self.of_session[self.sessions[place]] for place in some}:
            self.models[partition].raw += jumps
            self.client.set(self.partitions[partition].skew, self.models[partition].raw * JUMP_MS)
        if then_close:
            self.close()

    @rule()
    def close(self):
        """As the learner does it."""
        for waiting in find_due(self.client, self.partitions, 100):
            model = self.models[waiting.keys.partition]
            now = max(model.seen, model.raw)
            assert set(waiting.due) == {i for i, at in model.due.items() if at <= now}
            assert set(waiting.orphans) == {i for i, at in model.orphans.items() if at <= now}
            close_due(self.scripts, [waiting], 2, TOMBSTONE_MS)
            if waiting.due or waiting.orphans:
                model.tick()
            model.finalise(waiting.due)
            model.give_up(waiting.orphans)

    @rule()
    def another_learner(self):
        self.epochs.append(take_epoch(self.client, self.app))
        assert self.epochs[-1] == self.published.take_epoch()

    @rule(which=st.integers(-3, -1), ahead=st.integers(-1, 2), checksum=st.sampled_from("ab"))
    def publish(self, which, ahead, checksum):
        if len(self.epochs) < -which:
            return
        epoch, stands = self.epochs[which], self.published.stands
        version = max(1, (stands.version if stands else 0) + ahead)
        publication = Publication(
            epoch=epoch,
            version=version,
            record=checksum.encode(),
            positions=("0-0",) * len(self.partitions),
            examples=version,
            batches=(),
            checksum=checksum,
        )
        answer = parse_publish(self.scripts.run(publish_call(self.app, publication)))
        assert answer == self.published.publish(epoch, version, checksum)

    @invariant()
    def the_books_are_zero(self):
        for partition in self.used:
            assert read_books(self.scripts, self.partitions[partition], count_rewards=True) == (0, 0)

    @invariant()
    def streams_hold_what_the_models_hold(self):
        pipe = self.client.pipeline(transaction=True)
        for partition in self.used:
            pipe.xrange(self.partitions[partition].examples)
            pipe.xrange(self.partitions[partition].late)
        replies = iter(pipe.execute())
        for partition in self.used:
            examples, late, model = next(replies), next(replies), self.models[partition]
            assert split(examples) == (model.examples, model.lessons)
            kept = [decode_late(partition, *entry) for entry in late]
            assert Counter((k.kind, k.name, k.reward.key, k.reward.value) for k in kept) == model.late

    @invariant()
    def what_is_published_never_falls(self):
        stands = self.published.stands
        found = self.client.hmget(app_keys.weights(self.app), "epoch", "version", "checksum", "record")
        log = self.client.xrange(app_keys.weights_log(self.app))
        assert [int(fields[b"version"]) for _, fields in log] == self.published.history
        assert self.published.history == sorted(set(self.published.history))
        if stands is None:
            assert found == [None] * 4
        else:
            checksum = stands.checksum.encode()
            assert found == [b"%d" % stands.epoch, b"%d" % stands.version, checksum, checksum]


def explore(scripts, partitions, max_examples):
    """Random walks of up to 20 steps, the same ones each time, so many with each palette."""
    for palette in PALETTES:
        run_state_machine_as_test(
            lambda palette=palette: PartitionsMachine(scripts, partitions, palette),
            settings=settings(
                max_examples=max_examples,
                stateful_step_count=20,
                derandomize=True,
                database=None,
                deadline=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),  # the store is shared with whatever else runs here
            ),
        )
