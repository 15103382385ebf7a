"""A line of the log a decision: which arm, how probably, by whom; not who asked, nor what was known of them.

Off by default. Where it is on, it can be of a share of the decisions: always the same ones, whoever answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from zlib import crc32

from decision_service.api.recommendations import Recommendation
from sidecar.contracts.reward_section import RewardMode

_WHOLE = 1 << 32

log = logging.getLogger("sidearm.decisions")


class DecisionLines:
    """Of one service.

    Args:
        share: of the decisions that have a line.
        mode: in which rewards are joined.
        now_s: the clock on which decisions begin.
    """

    def __init__(self, share: float, mode: RewardMode, now_s: Callable[[], float]) -> None:
        self._below, self._mode, self._now_s = round(share * _WHOLE), mode, now_s

    def tell(self, outcomes: Iterable[object], began_s: float) -> None:
        """Of requests that were decided together, those that have a line; refusals have none."""
        took_ms = round((self._now_s() - began_s) * 1000, 3)
        for one in outcomes:
            if isinstance(one, Recommendation) and crc32(one.decision_id.encode()) < self._below:
                log.info("decision", extra=self._of(one, took_ms))

    def _of(self, one: Recommendation, took_ms: float) -> dict[str, object]:
        return {
            "decision_id": one.decision_id,
            "arm": one.arm,
            "probability": one.probability,
            "source": one.source,
            "policy": one.policy,
            "model_version": one.model_version,
            "mode": self._mode,
            "logged": one.logged,
            "duration_ms": took_ms,
        }


def lines_of(share: float, mode: RewardMode, now_s: Callable[[], float]) -> DecisionLines | None:
    """None where no decision has a line."""
    return DecisionLines(share, mode, now_s) if share else None
