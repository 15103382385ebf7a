"""Versions that were served lately, so that what they scored can be explained: as they came from the store.

Versions follow each other many times a second, and each is an array of megabytes. The records and the deltas
by which they came are smaller, and are here anyway: so the last of them are kept, up to a number of bytes,
and a version is put together when somebody asks for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sidecar.contracts.deltas import Summed, apply_deltas, decode_delta, summed
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.weights import Weights


class _Way:
    """A whole version, and the deltas that led on from it."""

    def __init__(self, base: bytes | Summed, version: int) -> None:
        self._base = base
        self._version = version
        self._deltas: list[bytes] = []
        self._reached = version
        self.size_bytes = self._base_bytes = (
            len(base) if isinstance(base, bytes) else base.weights.values.nbytes
        )

    def go_on(self, reached: int, deltas: Sequence[bytes]) -> None:
        self._deltas += deltas
        self._reached = max(reached, self._reached)
        self.size_bytes += sum(map(len, deltas))

    def is_longer_than(self, size_bytes: int) -> bool:
        """Whether its deltas take more than that."""
        return self.size_bytes - self._base_bytes > size_bytes

    def leads_to(self, version: int) -> bool:
        return self._version <= version <= self._reached

    def at(self, version: int) -> Weights:
        """The weights of that version.

        Raises:
            BadWeights: a version was left out on the way.
        """
        base = summed(self._base) if isinstance(self._base, bytes) else self._base
        deltas = {delta.header.version: delta for delta in map(decode_delta, self._deltas)}  # some came twice
        needed = [delta for reached, delta in deltas.items() if self._version < reached <= version]
        return apply_deltas(base, needed).weights


class Past:
    """Of one application.

    Args:
        most_bytes: of all that is kept; the newest whole version is, whatever its size.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._ways: deque[_Way] = deque()

    def begin(self, record: bytes | Summed, version: int) -> None:
        """A whole version came."""
        self._ways.append(_Way(record, version))
        self._forget()

    def go_on(self, reached: Summed, deltas: Sequence[bytes]) -> None:
        """``deltas`` led to another version. Not all of them have to be news."""
        version = reached.weights.header.version
        if self._ways:
            self._ways[-1].go_on(version, deltas)
        if not self._ways or self._ways[-1].is_longer_than(reached.weights.values.nbytes):
            self.begin(reached, version)
        self._forget()

    def find(self, version: int) -> Weights | None:
        """That version; None if it is not known any more. Some milliseconds: not for the event loop."""
        for way in list(self._ways):  # it may grow meanwhile, in another thread
            if way.leads_to(version):
                try:
                    found = way.at(version)
                except BadWeights:
                    continue
                if found.header.version == version:
                    return found
        return None

    def _forget(self) -> None:
        while len(self._ways) > 1 and sum(way.size_bytes for way in self._ways) > self._most_bytes:
            self._ways.popleft()
