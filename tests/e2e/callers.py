"""Callers who repeat each call under its own key until it is answered, and remember what they were told."""

from __future__ import annotations

import itertools
import random
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

from tests.e2e.platform import Platform
from tests.waiting import until

GIVE_UP_S = 60.0


class Caller(threading.Thread):
    """Asks and rewards, and repeats each call under its own key until it is answered."""

    def __init__(self, platform: Platform, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._platform, self._number, self._stop_asked = platform, number, stop
        self._rng = random.Random(number)
        self.decided: dict[str, str] = {}
        """Decision id to the arm that the answer named."""
        self.rewarded: dict[str, tuple[str, float]] = {}
        """Reward id to decision id and value."""
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self._platform.url, timeout=5.0) as client:
                client.headers["Authorization"] = f"Bearer {self._platform.key}"
                for n in itertools.count():
                    if self._stop_asked.is_set():
                        return
                    self._session(client, n)
        except BaseException as error:  # shown by the test, which joins the thread
            self.failure = error

    def _session(self, client: httpx.Client, n: int) -> None:
        session = f"s-{self._number}-{n}"
        body = {
            "session_id": session,
            "decision_id": "first",
            "context": {"n": n % 5, "who": f"w{self._number}"},
        }
        decision = self._insist(client, "/v1/recommendations", body, 201)
        self.decided[decision["decision_id"]] = decision["arm"]
        if self._rng.random() < 0.5:
            value = float(self._number * 1_000_000 + n + 1)
            value = value / 1e7
            reward = {"decision_id": decision["decision_id"], "reward": value, "event": "purchase"}
            self._insist(client, "/v1/rewards", reward | {"reward_id": session}, 202)
            self.rewarded[session] = (decision["decision_id"], value)

    def _insist(
        self, client: httpx.Client, path: str, body: dict[str, object], wanted: int
    ) -> dict[str, str]:
        def answered() -> httpx.Response | None:
            try:
                reply = client.post(path, json=body)
            except httpx.HTTPError:
                return None
            if reply.status_code < 500:
                return reply
            return None

        reply = until(answered, GIVE_UP_S, f"{path} answered", poll_s=0.02)
        assert reply.status_code == wanted, reply.text
        return dict(reply.json())


def progress(callers: Sequence[Caller], decisions: int) -> None:
    """Until so many more decisions have been answered."""
    goal = sum(len(c.decided) for c in callers) + decisions
    until(
        lambda: sum(len(c.decided) for c in callers) >= goal or any(c.failure for c in callers),
        GIVE_UP_S,
        "load",
    )


@contextmanager
def callers_at(platforms: Sequence[Platform]) -> Iterator[list[Caller]]:
    """One caller of each, at work until the block is done; none may have failed."""
    stop = threading.Event()
    callers = [Caller(platform, number, stop) for number, platform in enumerate(platforms)]
    for caller in callers:
        caller.start()
    try:
        yield callers
    finally:
        stop.set()
        for caller in callers:
            caller.join(GIVE_UP_S)
    failures = [repr(c.failure)[:2000] for c in callers if c.failure]
    assert not failures, failures
    assert not any(c.is_alive() for c in callers)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
