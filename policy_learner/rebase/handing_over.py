"""A base is offered to the learner, and its answer awaited."""

from __future__ import annotations

import time
from pathlib import Path

from policy_learner.rebase.offers import Offer, Outcome, make_offer, read_outcome

_POLL_S = 0.05


def hand_over(folder: Path, base: str, wait_s: float) -> Outcome | None:
    """Offer a base; what became of it, None when nothing did in that time.

    Args:
        folder: of the learner's checkpoints.
        base: its id.
        wait_s: how long to wait.

    Raises:
        OSError: the disk is full or away; nothing is offered.
    """
    offer = Offer(base=base, at_ms=round(time.time() * 1000))
    make_offer(folder, offer)
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        outcome = read_outcome(folder)
        if outcome is not None and outcome.offer == offer:
            return outcome
        time.sleep(_POLL_S)
    return None
