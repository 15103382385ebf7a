"""The process that runs VW, with examples that end it: ``python -m tests.policy_learner.fragile_vw``.

In the folder that is its first argument ``deadly.json`` says which decisions do, and how; ``tries`` has a
line for each time it happened.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from policy_learner.learning.trainer import Trainer, _parse
from policy_learner.learning.vw_format import Foreseen
from policy_learner.vw_process import main


def command(folder: Path) -> tuple[str, ...]:
    """What starts it."""
    return (sys.executable, "-m", "tests.policy_learner.fragile_vw", str(folder))


def make_deadly(folder: Path, deaths: dict[str, str]) -> None:
    """From now on these decisions end it."""
    (folder / "deadly.json").write_text(json.dumps(deaths))


def tries(folder: Path) -> Counter[str]:
    """How often each did."""
    path = folder / "tries"
    return Counter(path.read_text().split()) if path.exists() else Counter()


class FragileTrainer(Trainer):
    """The trainer; its VW dies of some examples."""

    folder: Path

    def learn_texts(self, texts):
        path = self.folder / "deadly.json"
        deaths = json.loads(path.read_text()) if path.exists() else {}
        done = Foreseen([], [])
        for text in texts:
            death = deaths.get(text.decision_id)
            if death and not (death.endswith("once") and tries(self.folder)[text.decision_id]):
                with (self.folder / "tries").open("a") as file:
                    file.write(f"{text.decision_id}\n")
                self._die(death.removesuffix(" once"), text)
            done.extend(super().learn_texts([text]))
        return done

    def _die(self, how, text):
        match how:
            case "crash":  # VW's own: an example without actions after one that was learnt
                super().learn_texts([text])
                self._core.predict_then_learn_multi_ex_one([_parse(self._core, text.context)])
            case "complain":  # VW's own: two actions with a cost
                line = _parse(self._core, "0:1:0.5 |a x")
                other = _parse(self._core, "0:1:0.5 |a y")
                self._core.predict_then_learn_multi_ex_one([_parse(self._core, text.context), line, other])
            case "abort":
                ctypes.CDLL(None).abort()
            case "hang":
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
                while True:
                    pass
            case "take the learner along":
                os.kill(os.getppid(), signal.SIGKILL)
                signal.pause()


if __name__ == "__main__":
    FragileTrainer.folder = Path(sys.argv[1])
    sys.exit(main(sys.argv[2:], FragileTrainer))
