"""A joiner: closes decisions whose horizon has ended, beside the learner and beside other joiners.

``python -m policy_learner.joiner --app examples/shop --data data``, or ``sidearm joiner``; as many as there
is work for, and at most as many as partitions. They share the partitions by leases (``leases.py``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from policy_learner.failpoints import reached
from policy_learner.join import helper, leases
from policy_learner.join.helper import HelperDeps
from policy_learner.join.source import close_due, find_due
from policy_learner.timing import Every
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.working import Worker


class Joiner:
    """One joiner; see :func:`helper.run`.

    Args:
        deps: what it is given.
    """

    def __init__(self, deps: HelperDeps) -> None:
        self._deps = deps
        self._all = [Keys(deps.application.name, p) for p in range(deps.application.partitions)]
        self._timer = Every(deps.settings.lease_s / 3, deps.clock)
        self._mine: list[Keys] | None = None
        self._closed = 0
        self.error = ""

    def step(self) -> int:
        """Close what is due in the partitions that are mine; how many ids were handed in."""
        settings = self._deps.settings
        tombstone_ms = round(self._deps.application.reward.tombstone_s * 1000)
        waiting = find_due(self._deps.scripts.client, self._leased(), settings.finalise_per_step)
        done = close_due(self._deps.scripts, waiting, settings.finalise_batch, tombstone_ms)
        self._closed += done
        return done

    def stop(self) -> None:
        """Give the partitions to whoever is there."""
        leases.give_back(self._deps.scripts, self._mine or [], self._deps.name)

    def report(self) -> Worker:
        """How it is."""
        mine = tuple(keys.partition for keys in self._mine or [])
        return Worker(kind="joiner", pid=os.getpid(), partitions=mine, done=self._closed, error=self.error)

    def _leased(self) -> list[Keys]:
        if self._mine is None or self._timer.due:
            ttl_ms = round(self._deps.settings.lease_s * 1000)
            self._mine = leases.take(self._deps.scripts, self._all, self._deps.name, ttl_ms)
            self._timer.restart()
            reached("leased")
        return self._mine


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Close decisions until SIGTERM or SIGINT; see :func:`helper.main`."""
    return helper.main("joiner", __doc__ or "", Joiner, argv, environ)


if __name__ == "__main__":
    sys.exit(main())
