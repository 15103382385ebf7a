"""Callers of the Service: connections that are kept while the server keeps them, and every answer counted."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.k8s.rehearsal.endpoints import Endpoints
from tests.k8s.rehearsal.pods import Pod
from tests.waiting import until

PATIENCE_S = 60.0
RECONNECTS = 0.1
"""The share of answers after which a caller hangs up by itself, as clients do now and then."""
ENOUGH = 10


@dataclass
class Heard:
    """What one caller was told."""

    decided: dict[str, str] = field(default_factory=dict)
    """Decision id to arm."""
    rewarded: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Reward id to decision id and value."""
    failures: list[str] = field(default_factory=list)
    """Requests that were not answered, or not with success; each was repeated until it was."""
    by_pod: Counter[str] = field(default_factory=Counter)
    """Answers."""


class Caller(threading.Thread):
    """Asks and rewards for ever; a request that fails is noted and repeated under its own key."""

    def __init__(self, endpoints: Endpoints, key: str, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._endpoints, self._key, self._number, self._stopped = endpoints, key, number, stop
        self._rng = random.Random(number)
        self._line: http.client.HTTPConnection | None = None
        self._pod: Pod | None = None
        self.heard = Heard()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Until it is stopped."""
        try:
            for n in itertools.count():
                if self._stopped.is_set():
                    return
                self._session(n)
        except BaseException as error:  # shown by whoever joins the thread
            self.failure = error

    def _session(self, n: int) -> None:
        session = f"s-{self._number}-{n}"
        asked = {"session_id": session, "decision_id": "first", "context": {"hour": n % 24}}
        decision = self._insist("/v1/recommendations", asked, 201)
        if not decision["logged"]:  # said so: an overload, after this machine stood still
            return
        self.heard.decided[decision["decision_id"]] = decision["arm"]
        if self._rng.random() < 0.5:
            value = (self._number * 1_000_000 + n + 1) / 1e7
            told = {"decision_id": decision["decision_id"], "reward": value, "reward_id": session}
            self._insist("/v1/rewards", told | {"event": "purchase"}, 202)
            self.heard.rewarded[session] = (decision["decision_id"], value)

    def _insist(self, path: str, body: dict[str, Any], wanted: int) -> dict[str, Any]:
        def answered() -> dict[str, Any] | None:
            try:
                status, answer = self._ask(path, body)
            except (OSError, http.client.HTTPException) as error:
                self.heard.failures.append(f"{self._pod and self._pod.name}: {path}: {error!r}")
                self.hang_up()
                return None
            if status != wanted:
                self.heard.failures.append(f"{path}: {status} {answer}")
            return answer if status == wanted else None

        return until(answered, PATIENCE_S, f"{path} answered", poll_s=0.02)

    def _ask(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self._line is None:
            self._pod = self._endpoints.pick(self._rng)
            self._line = http.client.HTTPConnection(self._pod.ip, self._pod.port("http"), timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        self._line.request("POST", path, json.dumps(body), headers)
        answer = self._line.getresponse()
        read = json.loads(answer.read())
        assert self._pod is not None
        self.heard.by_pod[self._pod.name] += 1
        if answer.will_close or self._rng.random() < RECONNECTS:
            self.hang_up()
        return answer.status, read

    def hang_up(self) -> None:
        """The next request picks a pod anew."""
        if self._line:
            self._line.close()
        self._line = None


class Traffic:
    """Some callers at once; a context manager."""

    def __init__(self, endpoints: Endpoints, key: str, callers: int) -> None:
        self._stop = threading.Event()
        self.callers = [Caller(endpoints, key, number, self._stop) for number in range(callers)]

    def __enter__(self) -> Traffic:
        for caller in self.callers:
            caller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for caller in self.callers:
            caller.join(PATIENCE_S)
            caller.hang_up()
        assert [c.failure for c in self.callers] == [None] * len(self.callers)

    @property
    def decisions(self) -> int:
        """Answered so far."""
        return sum(len(caller.heard.decided) for caller in self.callers)

    @property
    def failures(self) -> list[str]:
        """Of all callers."""
        return [failure for caller in self.callers for failure in caller.heard.failures]

    def served_by(self, pod: Pod) -> int:
        """Answers of that pod."""
        return sum(caller.heard.by_pod[pod.name] for caller in self.callers)

    def latecomers(self, pod: Pod) -> None:
        """Until a pod that is leaving has answered callers who do not know it, if it is one that answers."""
        seen = self.served_by(pod)
        if seen:
            until(lambda: self.served_by(pod) >= seen + ENOUGH, PATIENCE_S, f"{pod.name} still answers")

    def go_on(self, decisions: int) -> None:
        """Until so many more decisions have been answered."""
        goal = self.decisions + decisions
        until(
            lambda: self.decisions >= goal or any(c.failure for c in self.callers),
            PATIENCE_S,
            "more decisions",
        )
