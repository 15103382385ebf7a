"""Train a base in a process of its own: ``python -m policy_learner.rebase.train PARENT …``.

It runs behind everything else. What follows the parent's process id is what ``sidearm train`` takes. It dies
with its parent: whoever is started next begins anew, and a base is offered whole or not at all.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence

import typer

from policy_learner.errors import LearnerError
from policy_learner.failpoints import arm_from
from policy_learner.rebase.train_cli import train_command
from sidecar.contracts.errors import ContractError
from sidecar.contracts.process_log import last_word, log_as

_PR_SET_PDEATHSIG = 1
_NICENESS = 19
BAD_INPUT = 2


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Train; what is refused on purpose is one line and exit code 2."""
    parent, *rest = argv
    _tie_to(int(parent))
    os.nice(_NICENESS)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(train_command)
    try:
        log_as(environ)
        arm_from(environ)
        app(rest, standalone_mode=False)
    except (LearnerError, ContractError, OSError) as error:
        last_word("sidearm train", error)
        return BAD_INPUT
    return 0


def _tie_to(parent: int) -> None:
    """End when the parent does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above: no signal would ever come
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
