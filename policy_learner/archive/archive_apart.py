"""The archive as the learner sees it where another process writes the log, see ``archiver.py``.

The learner says how far that one may go, and looks on disk how far it is: only what lies there for good is
ever trimmed, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import redis

from policy_learner.archive.chain import Newest
from policy_learner.archive.parquet_sink import Archive
from policy_learner.join.catalogues import Catalogues
from policy_learner.join.learnt import Learnt, Place, tell
from policy_learner.join.source import Chunk
from policy_learner.settings import LearnerSettings
from sidecar.contracts.application import Application


class ArchiveApart(Archive):
    """Has the lanes of :class:`Archive`, and writes none of them.

    Args:
        client: of the store.
        application: whose log it is.
        folder: root of its datasets.
        settings: the learner's.
        catalogues: of the application.
        waiting: what was refused and is not with the dead letters yet.
    """

    is_here = False

    def __init__(
        self,
        client: redis.Redis,
        application: Application,
        folder: Path,
        settings: LearnerSettings,
        catalogues: Catalogues,
        waiting: Callable[[], Sequence[Place]],
    ) -> None:
        super().__init__(client, application, folder, settings, catalogues, lambda joined: False)
        self._app, self._waiting = application.name, waiting
        self._said: tuple[Learnt, list[Place]] | None = None
        self._newest = {lane.folder: Newest(lane.folder) for lane in self.lanes}

    def begin(self) -> None:
        """What is half-written belongs to somebody who may be alive."""

    def note(self, chunks: Sequence[Chunk], positions: Sequence[str]) -> None:
        """Whoever writes reads for himself."""

    def read(self, learnt: Learnt, count: int) -> int:
        """Say how far the learner is, if that is news; reads nothing."""
        word = (learnt._replace(positions=list(learnt.positions)), list(self._waiting()))
        if word != self._said:
            tell(self._client, self._app, *word)
            self._said = word
        return 0

    @property
    def full(self) -> bool:
        """Never: nothing waits here."""
        return False

    def write(self) -> int:
        """Nothing."""
        return 0

    def look(self) -> None:
        """See how far everything is on disk.

        Raises:
            BrokenChain: a file is none of the log's.
            OSError: the disk is away.
        """
        self._said = None  # a store that came back without it is told again
        for newest in self._newest.values():
            newest.look()
        for lane in self.lanes:
            lane.follow(self._newest)
