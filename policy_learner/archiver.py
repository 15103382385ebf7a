"""The archiver as a process of its own: writes the log, so that the learner has all its time for learning.

``python -m policy_learner.archiver --app examples/shop --data data``, or ``sidearm archiver``, over the same
data folder as the learner, whose ``app.toml`` says ``archiver = "apart"``. It goes as far as the learner has
been, compacts and ships. A second one is harmless, and idle: of two who write a file one wins.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from policy_learner.archive.dead_letters import LettersOfOthers
from policy_learner.archive.log_keeping import check, keeping, wall_ms
from policy_learner.archive.parquet_sink import Archive
from policy_learner.failpoints import reached
from policy_learner.join import helper, learnt
from policy_learner.join.catalogues import Catalogues, read_from_store
from policy_learner.join.helper import HelperDeps
from policy_learner.join.positions import ms_of
from policy_learner.status import RUNNING, STOPPING
from policy_learner.timing import Every
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.keys import Keys, learner_status
from sidecar.contracts.scripts.working import Worker
from sidecar.contracts.store import store_now_ms

_ENTRIES_AT_ONCE = 2048
"""Of all partitions together: rows are made in fewer, larger tables than a learner could wait for."""

_EARLY = 0.1
"""Of ``archive_every_s``: so long after the last files those come at the earliest that end a backlog."""

_SILENT_MS = 5000
"""A learner that says so little runs no more."""


class Archiver:
    """One archiver; see :func:`helper.run`.

    Args:
        deps: what it is given.

    Raises:
        BadSettings: the log cannot be copied to where they say.
        BrokenChain: a file of the log is damaged.
        StoreError, OSError: the store is away, or the disk.
    """

    def __init__(self, deps: HelperDeps) -> None:
        application, settings, client = deps.application, deps.settings, deps.scripts.client
        check(settings)
        self._deps, self._folder = deps, deps.data.log(application.name)
        self._partitions = [Keys(application.name, p) for p in range(application.partitions)]
        self._refused = LettersOfOthers(client, self._partitions)
        catalogues = Catalogues(read_from_store(client, application.name, self._folder))
        self._archive = Archive(
            client,
            application,
            self._folder,
            settings,
            catalogues,
            self._refused.refuses,
        )
        self._archive.begin()
        self._most = max(settings.read_batch, _ENTRIES_AT_ONCE // application.partitions)
        self._timer = Every(settings.archive_every_s, deps.clock)
        self._early = Every(settings.archive_every_s * _EARLY, deps.clock)
        self._was_behind = self._is_behind = False
        self._keeping = ExitStack()
        self._keeping.enter_context(keeping(self._folder, application.name, settings, wall_ms))
        self._rows = 0
        self.error = self._flaw = ""

    def step(self) -> int:
        """Turn entries into rows, and rows into files; how many entries there were."""
        taken = self._read()
        if self._timer.due or self._archive.full or (not taken and self._has_caught_up):
            self._timer.restart()
            self._early.restart()
            self._write()
        return taken

    def stop(self) -> None:
        """What was learnt goes into files; what a learner that is ending too learns at last as well."""
        clock, settings = self._deps.clock, self._deps.settings
        began = clock()
        while clock() - began < settings.drain_s:
            waited_s = clock() - began
            more = waited_s < self._deps.patience_s and self._learner_says_more(waited_s)
            taken = self.step()
            if not (taken or more):
                break
            if not taken:
                time.sleep(settings.idle_s)
        self._write()
        self._keeping.close()

    def _learner_says_more(self, waited_s: float) -> bool:
        """Whether it is ending, or may have been told to at the same moment and has not said so yet."""
        client, settings = self._deps.scripts.client, self._deps.settings
        pipe = client.pipeline(transaction=False)
        pipe.time()
        pipe.hmget(learner_status(self._deps.application.name), ["state", "at_ms"])
        (seconds, _), (state, at_ms) = pipe.execute()
        age_ms = int(seconds) * 1000 - int(at_ms or 0)
        if state == STOPPING.encode():
            return age_ms < settings.drain_s * 1000
        return bool(state == RUNNING.encode() and waited_s < settings.status_every_s and age_ms < _SILENT_MS)

    def report(self) -> Worker:
        """How it is."""
        return Worker(
            kind="archiver",
            pid=os.getpid(),
            done=self._rows,
            waiting=sum(lane.waiting for lane in self._archive.lanes),
            lag_ms=self._lag_ms(),
            error=self.error or self._flaw,
        )

    @property
    def _has_caught_up(self) -> bool:
        """The learner was behind and is not any more: whoever waited for the last row need not go on to."""
        return self._was_behind and not self._is_behind and self._early.due

    def _read(self) -> int:
        client, application = self._deps.scripts.client, self._deps.application
        try:
            told = learnt.told(client, application.name, application.partitions)
        except BadEvent as error:
            self._flaw = str(error)
            return 0
        self._flaw, self._is_behind = "", told.learnt.more
        self._was_behind |= told.learnt.more
        self._refused.look(told.refused)  # after what was told: by then all that it covers is there
        return self._archive.read(told.learnt, self._most)

    def _write(self) -> None:
        self._rows += self._archive.write()
        self._was_behind = self._is_behind
        reached("archived")

    def _lag_ms(self) -> int:
        """Age of the oldest entry that was read and is in no file."""
        oldest = [lane.oldest for lane in self._archive.lanes if lane.oldest is not None]
        now_ms = store_now_ms(self._deps.scripts.client, self._partitions[0])
        return max(0, now_ms - min(map(ms_of, oldest))) if oldest else 0


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Archive until SIGTERM or SIGINT; see :func:`helper.main`."""
    return helper.main("archiver", __doc__ or "", Archiver, argv, environ)


if __name__ == "__main__":
    sys.exit(main())
