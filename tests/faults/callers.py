"""Callers over HTTP who never give up: each call is repeated under its own key until it is answered."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter

import httpx

from tests.faults.customer import REWARD_KEYS, Asked, Memory, Told, value_of
from tests.faults.stage import Stage

STATUS = {
    "accepted": "OK",
    "duplicate": "DUP",
    "early": "EARLY",
    "late": "LATE",
    "unknown": "UNKNOWN",
    "over_limit": "OVER",
}
GIVE_UP_S = 60.0
PAUSE_S = 0.005


class Caller(threading.Thread):
    def __init__(self, stage: Stage, number: int, seed: int, stop: threading.Event):
        super().__init__(daemon=True)
        self.stage, self.number, self.stop_asked = stage, number, stop
        self.rng = random.Random(f"{seed}:{number}")
        self.memory, self.statuses = Memory(), Counter()
        self.failure: BaseException | None = None
        self.answered = 0
        self.by_service: dict[str, int] = {}
        """Session to how many services had been started when it asked last."""

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self.stage.url, timeout=5.0) as client:
                client.headers["Authorization"] = f"Bearer {self.stage.key}"
                for n in itertools.count():
                    if self.stop_asked.is_set():
                        return
                    self._session(client, n)
                    self.stop_asked.wait(PAUSE_S)
        except BaseException as error:  # shown by the run
            self.failure = error

    def _session(self, client: httpx.Client, n: int) -> None:
        rng, session = self.rng, f"s-{self.number}-{n}"
        asked = Asked(session, "first", [], self.stage.now_ms(), deferred=rng.random() < 0.2)
        self.memory.asked.append(asked)
        self._ask(client, asked)
        if rng.random() < 0.1:
            self._ask(client, asked)
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
            if asked.deferred and rng.random() < 0.4:
                self._activate(client, asked)
            self._reward(client, asked)
        if rng.random() < 0.2:
            self._reward(client, rng.choice(self.memory.asked))  # of long ago

    def _ask(self, client: httpx.Client, asked: Asked) -> None:
        context = {"n": self.number, "who": f"w{self.number}"}
        body = {"session_id": asked.session, "decision_id": asked.client_key, "context": context}
        body["deferred"] = asked.deferred

        def unanswered() -> None:
            asked.unheard += 1

        services = self.stage.services
        reply = self._insist(client, "/v1/recommendations", body, 201, unanswered)
        self._given(asked, str(reply["decision_id"]), services)
        self.answered += 1

    def _given(self, asked: Asked, decision_id: str, services: int) -> None:
        """A session keeps its decision, as long as the store or the service that gave it can be asked."""
        if not asked.accepted:
            asked.accepted, asked.accepted_ms = decision_id, self.stage.now_ms()
        elif decision_id not in asked.ids:
            another = asked.unheard or self.stage.services > self.by_service[asked.session]
            assert another, f"I1 {asked} is answered with {decision_id}"
            self.statuses["given anew"] += 1
        if decision_id not in asked.ids:
            asked.ids.append(decision_id)
        self.by_service[asked.session] = services

    def _activate(self, client: httpx.Client, asked: Asked) -> None:
        def unanswered() -> None:
            asked.activated = asked.activated or None

        reply = self._insist(client, f"/v1/decisions/{asked.accepted}/activate", {}, 200, unanswered)
        if reply.get("spooled"):  # whether in time is found out later
            unanswered()
        elif reply["status"] in ("activated", "duplicate"):  # the service repeats what had no reply: so be it
            asked.activated = True
        self.answered += 1

    def _reward(self, client: httpx.Client, asked: Asked) -> None:
        number, other = self.rng.randrange(REWARD_KEYS), self.rng.random() < 0.15
        key, value = f"k{number}", value_of(number, other)
        decision_id = self.rng.choice(asked.ids)
        attempts = self.memory.told[decision_id, key]
        body = {"decision_id": decision_id, "event": "purchase", "reward": value, "reward_id": key}

        def unanswered() -> None:
            attempts.append(Told(value, self.stage.now_ms(), ""))

        reply = self._insist(client, "/v1/rewards", body, 202, unanswered)
        status = "SPOOLED" if reply.get("spooled") else STATUS[str(reply["status"])]
        attempts.append(Told(value, self.stage.now_ms(), status))
        self.answered += 1

    def _insist(self, client, path, body, wanted, unanswered=lambda: None) -> dict[str, object]:
        """I7: whatever is broken, within its time a call is answered, and never by an error of our own."""
        end = time.monotonic() + GIVE_UP_S
        while time.monotonic() < end:
            try:
                reply = client.post(path, json=body)
            except httpx.HTTPError:
                self.statuses["no answer"] += 1
                unanswered()
                time.sleep(0.02)
                continue
            self.statuses[reply.status_code] += 1
            if reply.status_code == 503:
                unanswered()
                time.sleep(0.02)
                continue
            assert reply.status_code == wanted, f"I7 {reply.status_code}: {reply.text}"
            return dict(reply.json())
        raise AssertionError(f"I7 {path} was not answered within {GIVE_UP_S:g} s")


def merged(callers: list[Caller]) -> Memory:
    """What all of them know; their sessions and decisions are their own."""
    memory = Memory()
    for caller in callers:
        memory.asked += caller.memory.asked
        memory.told.update(caller.memory.told)
    return memory
