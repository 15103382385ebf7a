"""The process that runs VW, slowed: ``python -m benchmarks.learner.slow_vw FACTOR MANNER …``.

``burn``: it takes so many times the processor time that it would; ``wait``: so many times the time, idle.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from policy_learner.learning.trainer import Trainer
from policy_learner.learning.vw_format import ExampleText, Foreseen
from policy_learner.vw_process import main


class SlowTrainer(Trainer):
    """Learns the same, later."""

    factor, burns = 1.0, True

    def learn_texts(self, texts: Sequence[ExampleText]) -> Foreseen:
        """As the trainer does."""
        began = time.thread_time()
        foreseen = super().learn_texts(texts)
        end = time.thread_time()
        wanted = (end - began) * (self.factor - 1.0)
        if not self.burns:
            time.sleep(wanted)
        while self.burns and time.thread_time() < end + wanted:
            pass
        return foreseen


if __name__ == "__main__":
    SlowTrainer.factor, SlowTrainer.burns = float(sys.argv[1]), sys.argv[2] == "burn"
    sys.exit(main(sys.argv[3:], SlowTrainer))
