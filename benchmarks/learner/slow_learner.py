"""The learner with a VW that is as slow as the file ``BENCH_SLOW`` says: see ``slow_vw``."""

from __future__ import annotations

import os
import sys

from policy_learner import __main__ as learner
from policy_learner.learning.isolated_trainers import IsolatedTrainers
from policy_learner.learning.vw_lives import PATIENCE_S

if __name__ == "__main__":
    slow = (sys.executable, "-m", "benchmarks.learner.slow_vw", os.environ["BENCH_SLOW"])
    learner._trainers = lambda application, settings, data: IsolatedTrainers(None, PATIENCE_S, slow)
    sys.exit(learner.main())
