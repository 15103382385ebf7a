"""Decoys: models that only keep what they are given, so that any other can be given just that later.

An input waits in memory for a moment and is written by a thread, beside the decisions and never in their way:
where the disk is slower than the traffic, inputs are dropped and counted. A decoy's files together are
bounded; the oldest goes first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from sidecar.contracts.inputs import SUFFIX, ArchivedInput, encode_inputs
from sidecar.contracts.roster import Roster
from sidecar.contracts.wire import ScoreRow
from sidecar.policy.sampling import is_kept

log = logging.getLogger("sidearm.decision_service")

_EVERY_S = 0.25
_MOST_WAITING = 10_000
_FILE_BYTES = 64 * 1024 * 1024

Tell = Callable[[str, str, int], None]
"""Is told a decoy's name, what became of its inputs (``archived`` or ``dropped``), and how many."""


class Decoys:
    """Archives inputs; belongs to one event loop.

    Args:
        folder: gives a decoy's.
        most_bytes: of all files of one decoy.
        secret: decides which inputs are in a decoy's share.
        now_ms: wall clock.
        tell: is told what became of them.
    """

    def __init__(
        self,
        folder: Callable[[str], Path],
        most_bytes: int,
        secret: bytes,
        now_ms: Callable[[], int],
        tell: Tell,
    ) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._secret, self._now_ms, self._tell = secret, now_ms, tell
        self._waiting: deque[tuple[str, ArchivedInput]] = deque()
        self._files: dict[str, Path] = {}
        self._writing = threading.Lock()
        """The last write may begin while a thread is still at the one before."""

    def offer(self, roster: Roster, decision_id: str, catalogue: str, row: ScoreRow) -> None:
        """An input that models are given now: each decoy takes its share of them."""
        for model in roster.models:
            if model.role != "decoy" or not is_kept(f"{model.name} {decision_id}", model.share, self._secret):
                continue
            if len(self._waiting) < _MOST_WAITING:
                taken = ArchivedInput(decision_id, self._now_ms(), catalogue, row)
                self._waiting.append((model.name, taken))
            else:
                self._tell(model.name, "dropped", 1)

    async def keep_writing(self) -> None:
        """For ever: what waits goes into files; at the end, what still waits."""
        try:
            while True:
                await asyncio.sleep(_EVERY_S)
                if self._waiting:
                    await asyncio.to_thread(self.write)
        finally:
            self.write()

    def write(self) -> None:
        """Append what waits, each decoy's to its own file."""
        with self._writing:
            self._write()

    def _write(self) -> None:
        by_name: dict[str, list[ArchivedInput]] = {}
        for _ in range(len(self._waiting)):
            name, taken = self._waiting.popleft()
            by_name.setdefault(name, []).append(taken)
        for name, inputs in by_name.items():
            try:
                self._append(name, inputs)
                self._tell(name, "archived", len(inputs))
            except OSError as error:
                log.warning("decoy %s: %s", name, error)
                self._tell(name, "dropped", len(inputs))

    def _append(self, name: str, inputs: Sequence[ArchivedInput]) -> None:
        path = self._files.get(name)
        if path is None or not path.exists() or path.stat().st_size > _FILE_BYTES:
            folder = self._folder(name)
            folder.mkdir(parents=True, exist_ok=True)
            path = self._files[name] = folder / f"{inputs[0].at_ms:013d}-{os.getpid()}{SUFFIX}"
            self._thin(folder)
        with path.open("ab") as file:
            file.write(encode_inputs(inputs))

    def _thin(self, folder: Path) -> None:
        """Make room for one more file."""
        files = sorted(folder.glob(f"*{SUFFIX}"))
        sizes = [file.stat().st_size for file in files]
        while files and sum(sizes) + _FILE_BYTES > self._most_bytes:
            files.pop(0).unlink(missing_ok=True)
            sizes.pop(0)
