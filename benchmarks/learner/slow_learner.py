"""The learner with a slowed VW, by ``BENCH_SLOW=FACTOR:MANNER``: see ``slow_vw``."""

from __future__ import annotations

import os
import sys

from policy_learner import __main__ as learner
from policy_learner.learning.isolated_trainer import PATIENCE_S, IsolatedTrainers

if __name__ == "__main__":
    slow = (sys.executable, "-m", "benchmarks.learner.slow_vw", *os.environ["BENCH_SLOW"].split(":"))
    learner._trainers = lambda application, settings, data: IsolatedTrainers(None, PATIENCE_S, slow)
    sys.exit(learner.main())
