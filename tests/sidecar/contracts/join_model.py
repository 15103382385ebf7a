"""The join in plain Python: what the scripts must do, with no store, no bytes and no expiry.

Time is counted in jumps of the clock, so that a test's own running time never decides anything.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

HORIZON, EARLY = 2, 3  # in jumps
CAP, MOST, MOST_AWAITED = 4, 3, 2


@dataclass
class Session:
    last: str = ""
    by_client_key: dict[str, tuple[str, str]] = field(default_factory=dict)
    went: dict[str, str] = field(default_factory=dict)  # reward key -> decision
    unknown: dict[str, float] = field(default_factory=dict)  # reward key -> value, when there was nobody


class Model:
    def __init__(self):
        self.raw, self.seen = 0, -math.inf  # no script has looked at the clock yet
        self.due, self.orphans, self.payloads = {}, {}, {}
        self.final = set()
        self.rewards, self.late_rewards = {}, {}
        self.sessions = {}
        self.modes, self.deferred = {}, set()  # mode letter, and those that were not activated
        self.examples, self.late, self.counters = {}, Counter(), Counter()
        self.lessons = []  # kind, decision, payload, rewards, key: what is for the trainer alone

    def tick(self):
        """Every script sees the clock, and never an earlier one than before."""
        self.seen = max(self.seen, self.raw)

    def decide(self, decision_id, session_id, client_key, digest, payload, flags=""):
        """``flags`` as the script wants them: a mode's letter, d for deferred; or a dash: do not log."""
        session = self.sessions.setdefault(session_id, Session())
        if decision_id in self.due or decision_id in self.final:
            return self._repeated(decision_id)
        if client_key and client_key in session.by_client_key:
            prior, its_digest = session.by_client_key[client_key]
            if its_digest == digest:
                return self._repeated(prior)
            self.counters["dec_conflict"] += 1
            return "CONFLICT", prior
        if flags == "-":
            return self._shed(session, decision_id, "dec_thinned", "SHED")
        if len(self.due) >= CAP:
            return self._shed(session, decision_id, "dec_shed", "FULL")
        self.due[decision_id], self.payloads[decision_id] = self.seen + HORIZON, payload
        self.orphans.pop(decision_id, None)
        session.last = decision_id
        if client_key:
            session.by_client_key[client_key] = decision_id, digest
        self.counters["dec"] += 1
        self.modes[decision_id] = flags.rstrip("d")
        if flags.endswith("d"):
            self.deferred.add(decision_id)
        else:
            self._begin(decision_id)
        return "OK", decision_id

    def activate(self, decision_id, horizon):
        if decision_id not in self.due and decision_id not in self.final:
            status, counter = "UNKNOWN", "act_unknown"
        elif decision_id not in self.deferred:
            status, counter = "DUP", "act_dup"
        elif decision_id in self.final:
            status, counter = "LATE", "act_late"
        else:
            status, counter = "OK", "act"
            self.deferred.remove(decision_id)
            if horizon:
                self.due[decision_id] = self.seen + horizon
            self._begin(decision_id)
        self.counters[counter] += 1
        return status

    def _begin(self, decision_id):
        """It counts from now on; rewards may be there already."""
        rewards, mode = self.rewards.get(decision_id, {}), self.modes[decision_id]
        if mode == "e" and rewards:
            self._teach("E", decision_id, rewards)
        if mode == "a":
            self._teach("A", decision_id, {})
            keys = list(rewards)
            for n, key in enumerate(keys, start=1):
                self._teach("C", decision_id, {k: rewards[k] for k in keys[:n]}, key)

    def _learn(self, decision_id, key):
        """A reward has joined its pending decision."""
        if decision_id in self.deferred:
            return
        rewards, mode = self.rewards[decision_id], self.modes[decision_id]
        if mode == "a":
            self._teach("C", decision_id, rewards, key)
        if mode == "e" and len(rewards) == 1:
            self._teach("E", decision_id, rewards)

    def _teach(self, kind, decision_id, rewards, key=""):
        self.lessons.append((kind, decision_id, self.payloads[decision_id], dict(rewards), key))
        self.counters[{"A": "asm", "C": "comp", "E": "early_ex"}[kind]] += 1

    def _shed(self, session, decision_id, counter, status):
        """A session that is known moves on to a decision that nobody logged."""
        if session != Session():
            session.last = decision_id
        self.counters[counter] += 1
        return status, decision_id

    def _repeated(self, decision_id):
        self.counters["dec_dup"] += 1
        return "DUP" if decision_id in self.due else "FIN", decision_id

    def target(self, session_id, key):
        session = self.sessions.setdefault(session_id, Session())
        return "" if key in session.unknown else session.went.get(key, session.last)

    def reward_session(self, session_id, target, key, value):
        session, right = self.sessions.setdefault(session_id, Session()), self.target(session_id, key)
        if target != right:
            return "MOVED", right
        if key in session.unknown:
            return self._again(session_id, key, value, session.unknown[key]), ""
        if not target:
            if len(session.unknown) >= MOST:
                return self._kept("O", "rew_over", session_id, key, value, "OVER"), ""
            session.unknown[key] = value
            return self._nobody(session_id, key, value), ""
        status = self.reward(target, key, value)
        if status in ("OK", "LATE"):
            session.went[key] = target
        return status, target

    def reward(self, decision_id, key, value):
        held = self.rewards.setdefault(decision_id, {})
        late = self.late_rewards.setdefault(decision_id, {})
        if key in held or key in late:
            return self._again(decision_id, key, value, {**held, **late}[key])
        if len(held) + len(late) >= MOST:
            return self._kept("O", "rew_over", decision_id, key, value, "OVER")
        if decision_id in self.final:
            late[key] = value
            return self._kept("L", "rew_late", decision_id, key, value, "LATE")
        if decision_id in self.due:
            held[key] = value
            self.counters["rew"] += 1
            self._learn(decision_id, key)
            return "OK"
        if decision_id not in self.orphans and len(self.orphans) >= MOST_AWAITED:
            return self._nobody(decision_id, key, value)
        held[key] = value
        self.orphans.setdefault(decision_id, self.seen + EARLY)
        self.counters.update(("rew", "rew_early"))
        return "EARLY"

    def _kept(self, kind, counter, name, key, value, status):
        self.late[kind, name, key, value] += 1
        self.counters[counter] += 1
        return status

    def _nobody(self, name, key, value):
        self.counters.update(("rew", "rew_unknown"))
        return self._kept("P", "rew_orphan", name, key, value, "UNKNOWN")

    def _again(self, name, key, value, first):
        if value != first:
            self._kept("X", "rew_contradicts", name, key, value, "DUP")
        self.counters["rew_dup"] += 1
        return "DUP"

    def finalise(self, ids):
        for decision_id in [i for i in ids if self.due.get(i, self.seen + 1) <= self.seen]:
            del self.due[decision_id]
            self.final.add(decision_id)
            joined = dict(self.rewards.get(decision_id, {}))
            kind = "N" if decision_id in self.deferred else "F"
            self.examples[decision_id] = kind, self.modes[decision_id], self.payloads[decision_id], joined
            self.counters["fin"] += 1
            self.counters["fin_never"] += kind == "N"
            self.counters["rew_joined"] += len(joined)

    def give_up(self, ids):
        for decision_id in [i for i in ids if self.orphans.get(i, self.seen + 1) <= self.seen]:
            del self.orphans[decision_id]
            for key, value in self.rewards.pop(decision_id).items():
                self._kept("P", "rew_orphan", decision_id, key, value, "")
