"""The process that runs VW, slowed: ``python -m benchmarks.learner.slow_vw FILE …``.

The file holds ``FACTOR MANNER`` and may change. ``burn``: it takes so many times the processor time that it
would; ``wait``: so many times the time, idle.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from policy_learner.learning.trainer import Trainer
from policy_learner.learning.vw_format import ExampleText, Foreseen
from policy_learner.vw_process import main


class SlowTrainer(Trainer):
    """Learns the same, later."""

    told = Path()

    def learn_texts(self, texts: Sequence[ExampleText]) -> Foreseen:
        """As the trainer does."""
        factor, _, manner = (self.told.read_text() or "1 wait").partition(" ")
        began = time.thread_time()
        foreseen = super().learn_texts(texts)
        end = time.thread_time()
        wanted = (end - began) * (float(factor) - 1.0)
        if manner != "burn":
            time.sleep(wanted)
        while manner == "burn" and time.thread_time() < end + wanted:
            pass
        return foreseen


if __name__ == "__main__":
    SlowTrainer.told = Path(sys.argv[1])
    sys.exit(main(sys.argv[2:], SlowTrainer))
