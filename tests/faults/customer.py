"""Everybody who calls the service: asks, repeats, rewards early, twice, too late, for nobody, and retries.

What was told and what was answered is kept, so that the checker can hold the log against it.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass, field

import redis

from sidecar.contracts.application import Exploration
from sidecar.contracts.events import MODES, DecisionEvent, encode_decision, encode_reward_tail
from sidecar.contracts.ids import new_decision_id, partition_of_session
from sidecar.contracts.scripts.activate import ActivateEntry, activate_call, parse_activate
from sidecar.contracts.scripts.decide import DecideEntry, decide_call, parse_decide
from sidecar.contracts.scripts.reward import RewardEntry, limits_of, parse_reward, reward_call, target_of
from sidecar.contracts.scripts.reward import target_fields as fields_of

DIGIT = 4.0
"""Rewards are powers of it, so that the sum in a row tells which rewards were joined, and which how often."""
REWARD_KEYS = 4
SCORES = struct.pack("<2f", 0.5, 0.25)
MOST_TRIES = 6


class Violation(AssertionError):
    """An invariant is broken; its number comes first."""


@dataclass
class Asked:
    """One request for a decision, and every attempt to make it."""

    session: str
    client_key: str
    ids: list[str]
    first_ms: int
    """Before any attempt could have been executed; -1: none was made yet."""
    poison: bool = False
    mode: str = ""
    """In which it is learnt; empty: as the application said just then."""
    deferred: bool = False
    activated: bool | None = False
    """An answer said so; None: it may be."""
    accepted: str = ""
    """The id that an answer named."""
    accepted_ms: int = -1
    """When it was answered."""
    unheard: int = 0
    """Attempts without an answer, where nobody knows their ids."""


@dataclass(frozen=True)
class Told:
    """One attempt to hand in a reward."""

    value: float
    at_ms: int
    status: str
    """Empty: not answered. SPOOLED: what becomes of it is found out later."""


@dataclass
class Memory:
    asked: list[Asked] = field(default_factory=list)
    told: dict[tuple[str, str], list[Told]] = field(default_factory=lambda: defaultdict(list))
    """(decision id, or session where nobody was found; reward key) to the attempts."""
    unanswered: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    """(session, reward key): attempts by session that were not answered."""
    went: dict[tuple[str, str], str] = field(default_factory=dict)
    """(session, reward key) to the decision that an answer named."""
    answers: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def value_of(key_number: int, other: bool = False) -> float:
    """A reward key's value, or the value that contradicts it."""
    return DIGIT**key_number * (2.0 if other else 1.0)


class Customer:
    def __init__(self, sim):
        self.sim, self.rng, self.memory = sim, sim.rng, Memory()
        self.sessions = [f"s-{n}" for n in range(sim.rng.choice((2, 8)))]
        self.stale: list[tuple[str, str, str]] = []  # session, key, target as it was read a while ago

    def ask(self):
        """A new request; sometimes its id is known, and rewarded, before anybody hears of it."""
        session = self.rng.choice(self.sessions)
        asked = Asked(
            session,
            self.rng.choice(("", f"c-{len(self.memory.asked)}")),
            [self._new_id(session)],
            -1,
            poison=self.rng.random() < 0.05,
            mode=self.rng.choice((*[self.sim.mode] * 9, *MODES.values())),
            deferred=self.rng.random() < 0.15,
        )
        self.memory.asked.append(asked)
        if self.rng.random() < 0.15:
            return  # its rewards come first, or it never comes
        self.send(asked)

    def ask_again(self):
        """An old request once more: a retry, a drained spool, or the first time at last."""
        if self.memory.asked:
            self.send(self.rng.choice(self.memory.asked[-12:]))

    def activate(self):
        """A deferred decision begins to count, perhaps too late, perhaps once more."""
        deferred = [asked for asked in self.memory.asked[-12:] if asked.deferred and asked.accepted]
        if deferred:
            asked = self.rng.choice(deferred)
            horizon_ms = self.rng.choice((None, self.sim.horizon_ms))
            self._insist(lambda: self._activate(asked, horizon_ms))

    def send(self, asked):
        for _ in range(MOST_TRIES):
            if asked.first_ms >= 0 and asked.client_key and self.rng.random() < 0.5:
                asked.ids.append(self._new_id(asked.session))  # the service does not know it is a retry
            answer = self._decide(asked, asked.ids[-1])
            if answer is not None:
                return self._accepted(asked, answer)
            if self.rng.random() < 0.3:
                return None  # the caller gave up
        return None

    def reward(self):
        """By decision, some of them twice, contradicting, or for a decision of long ago."""
        if not self.memory.asked:
            return
        recent = self.memory.asked[-4:] if self.rng.random() < 0.7 else self.memory.asked
        asked = self.rng.choice(recent)
        target, number = asked.accepted or self.rng.choice(asked.ids), self.rng.randrange(REWARD_KEYS)
        self._insist(lambda: self._tell(target, number, self.rng.random() < 0.15))

    def reward_session(self):
        session = self.rng.choice([*self.sessions, "s-nobody"])
        number = self.rng.randrange(REWARD_KEYS)
        if self.rng.random() < 0.3:
            target = self._target(session, f"k{number}")
            if target is not None:
                self.stale.append((session, f"k{number}", target))
            return
        self._insist(lambda: self._tell_session(session, number, self._target(session, f"k{number}")))

    def reward_stale(self):
        """What was to be sent, had its sender not been slow: the session has gone on meanwhile."""
        if self.stale:
            session, key, target = self.stale.pop(0)
            self._tell_session(session, int(key[1:]), target)

    def _insist(self, attempt):
        for _ in range(MOST_TRIES):
            if attempt() or self.rng.random() < 0.3:
                return

    def _decide(self, asked, decision_id):
        sim = self.sim
        if asked.first_ms < 0:
            asked.first_ms = sim.time.ms
        entry = DecideEntry(
            decision_id,
            asked.session,
            "sku-0",
            sim.horizon_ms,
            event_of(decision_id, asked, sim),
            asked.client_key,
            asked.client_key and "digest",
            asked.mode,
            asked.deferred,
        )
        keys = sim.keys_of(asked.session)
        cap, tombstone_ms = sim.application.model.max_pending, sim.tombstone_ms
        call = decide_call(keys, [entry], max_pending=cap, tombstone_ms=tombstone_ms)
        try:
            return parse_decide(sim.scripts.run(call))[0]
        except redis.ConnectionError:
            return None

    def _accepted(self, asked, answer):
        self.memory.answers[answer.status] += 1
        if answer.status == "FULL":
            return
        if answer.decision_id not in asked.ids:
            raise Violation(f"I1 {asked} is answered with {answer.decision_id}, which it never was")
        if asked.accepted and (answer.status == "OK" or answer.decision_id != asked.accepted):
            raise Violation(f"I1 {asked} is decided once more: {answer.status} {answer.decision_id}")
        if answer.status == "CONFLICT":
            raise Violation(f"I1 the same request again is said to be another one: {asked}")
        if not asked.accepted:
            asked.accepted, asked.accepted_ms = answer.decision_id, self.sim.time.ms

    def _activate(self, asked, horizon_ms):
        entry = ActivateEntry(asked.accepted, asked.session, horizon_ms)
        call = activate_call(self.sim.keys_of(asked.session), [entry], tombstone_ms=self.sim.tombstone_ms)
        reply = self._asking(lambda _: self.sim.scripts.run(call))
        if reply is None:
            asked.activated = asked.activated or None
            return False
        (answer,) = parse_activate(reply)
        if answer.status == "UNKNOWN":
            raise Violation(f"I1 nobody knows what is to be activated: {asked}")
        if answer.status == "DUP" and asked.activated is False:
            raise Violation(f"I1 what nobody activated is said to be active: {asked}")
        if answer.status in ("OK", "DUP"):
            asked.activated = True
        return True

    def _tell(self, target, number, other):
        key, value = f"k{number}", value_of(number, other)
        entry = RewardEntry(target, key, encode_reward_tail(value, 0, "purchase", ""))
        answer = self._reward(self.sim.keys_of_decision(target), entry)
        status = answer.status.value if answer else ""
        self.memory.told[target, key].append(Told(value, self.sim.time.ms, status))
        return answer is not None

    def _target(self, session, key):
        values = self._asking(lambda c: c.hmget(self.sim.keys_of(session).session(session), fields_of(key)))
        return None if values is None else target_of(values)

    def _tell_session(self, session, number, target):
        key, value = f"k{number}", value_of(number)
        for _ in range(MOST_TRIES):
            if target is None:
                return False
            entry = RewardEntry(target, key, encode_reward_tail(value, 0, "purchase", ""), session)
            answer = self._reward(self.sim.keys_of(session), entry)
            if answer is None:
                self.memory.unanswered[session, key] += 1
                return False
            if answer.status != "MOVED":
                name = answer.decision_id or session
                self.memory.told[name, key].append(Told(value, self.sim.time.ms, answer.status.value))
                self._stays(session, key, answer)
                return True
            target = answer.decision_id
        return False

    def _stays(self, session, key, answer):
        """A reward by session that was joined, or is late, goes to the same decision at every retry."""
        went = self.memory.went.get((session, key), "")
        if went and went != answer.decision_id:
            raise Violation(f"I3 reward {key} of {session} went to {went}, then to {answer.decision_id}")
        if answer.status in ("OK", "LATE"):
            self.memory.went[session, key] = answer.decision_id

    def _reward(self, keys, entry):
        limits = limits_of(self.sim.application.reward, self.sim.most_awaited)
        reply = self._asking(lambda _: self.sim.scripts.run(reward_call(keys, [entry], limits)))
        if reply is None:
            return None
        (answer,) = parse_reward(reply)
        self.memory.answers[answer.status] += 1
        return answer

    def _asking(self, ask):
        try:
            return ask(self.sim.scripts.client)
        except redis.ConnectionError:
            return None

    def _new_id(self, session):
        partition = partition_of_session(session, self.sim.application.partitions)
        return new_decision_id(partition, self.sim.time.ms, self.rng.getrandbits(64))


def event_of(decision_id, asked, sim):
    return encode_decision(
        DecisionEvent(
            decision_id=decision_id,
            session_id=asked.session,
            unit_id=asked.session,
            decided_at_ms=asked.first_ms,
            horizon_ms=sim.horizon_ms,
            source="model",
            policy="champion",
            model_version=0,
            catalogue=sim.catalogue.version,
            context={"hour": 1.0},
            outcomes={"hour": "given"},
            arms=(),
            given_arms={},
            scores=SCORES,
            exploration=Exploration(epsilon=1.0),
            arm="sku-0",
            arm_index=0,
            propensity=2.0 if asked.poison else 0.5,
            seed="1",
            cold=True,
        )
    )
