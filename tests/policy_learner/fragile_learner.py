"""The learner, with a VW that dies of some examples: ``python -m tests.policy_learner.fragile_learner``."""

from __future__ import annotations

import sys
from pathlib import Path

from policy_learner import __main__ as learner
from policy_learner.learning.isolated_trainers import IsolatedTrainers
from tests.policy_learner.fragile_vw import command

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    learner._trainers = lambda application, settings, data: IsolatedTrainers(
        data.checkpoints(application.name) / "attempts", 30.0, command(folder), application.model.bits
    )
    sys.exit(learner.main(sys.argv[2:]))
