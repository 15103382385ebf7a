"""Named moments of the learner's work at which a fault test may stop it; in production nothing happens there.

Why they are in the product: a crash between two steps is what the order of the steps is for, and a random
kill finds such a moment once in thousands. From outside nobody can aim at it. A moment costs one look at a
variable that is None, a few times for each step of the loop, never for each example. ::

    SIDEARM_FAILPOINT=linked:3 python -m policy_learner …    # kill -9 when the third file has its name
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from sidecar.contracts.errors import BadSettings

Moment = Literal[
    "leased",
    "epoch taken",
    "resumed",
    "finalised",
    "orphans given up",
    "learnt",
    "buried",
    "gated",
    "published",
    "file begun",
    "file written",
    "linked",
    "archived",
    "record written",
    "checkpoint written",
    "checkpoint saved",
    "trimmed",
    "compacted file written",
    "compacted file named",
    "manifest written",
    "manifest swapped",
    "replaced file removed",
    "base written",
    "base offered",
    "base taken",
    "base gated",
    "base settled",
    "contests written",
    "promoted",
]
MOMENTS: tuple[str, ...] = get_args(Moment)
VARIABLE = "SIDEARM_FAILPOINT"

Handler = Callable[[str], None]

_handler: Handler | None = None


def reached(moment: Moment) -> None:
    """The learner is at this moment: what was done before it is done, nothing after it has begun."""
    if _handler is not None:
        _handler(moment)


def arm(handler: Handler | None) -> None:
    """Call ``handler`` at every moment from now on; None: at none."""
    global _handler
    _handler = handler


def arm_from(environ: Mapping[str, str]) -> None:
    """End this process, as kill -9 does, at the n-th time of the moment that the environment names.

    Raises:
        BadSettings: it names none of :data:`MOMENTS`, or no number.
    """
    told = environ.get(VARIABLE)
    if not told:
        return
    moment, _, times = told.partition(":")
    if moment not in MOMENTS or not (times or "1").isdigit():
        raise BadSettings(f"{VARIABLE}={told!r}: legal is one of {', '.join(MOMENTS)}, with :n behind it")
    arm(_killer(moment, int(times or "1")))


def _killer(moment: str, times: int) -> Handler:
    left = times

    def handle(reached: str) -> None:
        nonlocal left
        left -= reached == moment
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return handle
