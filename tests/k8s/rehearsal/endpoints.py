"""The pods behind a Service, as those who call it see them."""

from __future__ import annotations

import random
import threading

from tests.k8s.rehearsal.pods import Pod


class Endpoints:
    """Ready pods; shared by threads."""

    def __init__(self) -> None:
        self._pods: list[Pod] = []
        self._lock = threading.Lock()

    def add(self, pod: Pod) -> None:
        """It is ready."""
        with self._lock:
            self._pods.append(pod)

    def remove(self, pod: Pod) -> None:
        """New connections no longer go there; those that are open stay."""
        with self._lock:
            self._pods.remove(pod)

    @property
    def first(self) -> Pod:
        """The one that has been there longest."""
        with self._lock:
            return self._pods[0]

    def pick(self, rng: random.Random) -> Pod:
        """For one connection, as a node's proxy picks: any."""
        with self._lock:
            return rng.choice(self._pods)
