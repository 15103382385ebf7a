"""The gate's memory: what was published last, what was published a while ago, and what was refused.

A candidate is compared with both on the same examples, the sample of the window, each scored by the weights
as they would be served. Figures of one learner at two times could not be: they are of different traffic.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from policy_learner.comparison import auc_difference, reward_difference, standard_errors
from policy_learner.gate_sample import GateSample, Model, Sampled, scored_whole
from policy_learner.moves import moves
from policy_learner.settings import LearnerSettings
from sidecar.contracts import learner_report
from sidecar.contracts.application import Exploration, ExplorationConfig
from sidecar.contracts.learner_report import Comparison, Difference, Judgement, Verdict
from sidecar.contracts.weights import Weights, decode_weights

REFUSALS_KEPT = 16
_MOMENTS = 5
"""Versions kept for each ``gate_before_s``."""

log = logging.getLogger("sidearm.learner")


class _Moment(NamedTuple):
    at_ms: int
    record: bytes


class Gatekeeper:
    """Judges candidates by what they would earn and by how well they order.

    Args:
        settings: the gate's.
        exploration: how the policy explores, as it is configured now.
        sample: filled by whoever learns.
    """

    def __init__(self, settings: LearnerSettings, exploration: ExplorationConfig, sample: GateSample) -> None:
        self._settings, self._sample = settings, sample
        self._exploration = Exploration(exploration.scheme, exploration.epsilon, exploration.control_share)
        self._candidate: Model | None = None
        self._good: Model | None = None
        self._before: Model | None = None
        self._moments: deque[_Moment] = deque()
        self.refusals: deque[Judgement] = deque(maxlen=REFUSALS_KEPT)
        self.latest: Judgement | None = None

    def compare(self, verdict: Verdict, weights: Weights) -> Verdict:
        """The verdict on weights that are numbers, bounded and the trainer's own."""
        rows = self._sample.rows
        self._candidate = candidate = Model(weights)
        if len(rows) < self._settings.gate_least_examples:
            return verdict
        found = tuple([self._beside(name, candidate, model, rows) for name, model in self._references()])
        reason = next(filter(None, map(_complaint, found)), "")
        return msgspec.structs.replace(verdict, passed=not reason, reason=reason, comparisons=found)

    def published(self, version: int, record: bytes) -> None:
        """The version stands: it is the last good one."""
        candidate = self._candidate
        if candidate is None or candidate.weights.header.version != version:
            candidate = Model(decode_weights(record))
        self._good, self._candidate = candidate, None
        self._remember(_Moment(candidate.weights.header.trained_until_ms, record))

    def note(self, verdict: Verdict, version: int, examples: int, at_ms: int) -> None:
        """An event of the gate; refusals are kept, and logged with their numbers."""
        self.latest = judgement = Judgement(version, at_ms, examples, verdict)
        if not verdict.passed:
            self.refusals.append(judgement)
            log.error("gate refused %s", learner_report.encode(judgement))

    def _references(self) -> Iterable[tuple[str, Model]]:
        if self._good is None:
            return
        yield "last good", self._good
        if self._before is not None and self._before.weights.header.version != _version(self._good):
            yield "before", self._before

    def _remember(self, moment: _Moment) -> None:
        """Keep some versions of the last while; the newest that is old enough, or the oldest, is `before`."""
        moments, before_ms = self._moments, 1000.0 * self._settings.gate_before_s
        if moments and moment.at_ms - moments[-1].at_ms < before_ms / _MOMENTS:
            return
        moments.append(moment)
        while len(moments) > 1 and moment.at_ms - moments[1].at_ms >= before_ms:
            moments.popleft()
        weights = decode_weights(moments[0].record)
        if self._before is None or weights.header.version != _version(self._before):
            self._before = Model(weights)

    def _beside(self, name: str, candidate: Model, reference: Model, rows: Sequence[Sampled]) -> Comparison:
        wide = standard_errors(self._settings.gate_wrong_refusals)
        reward = self._reward(candidate, reference, rows[len(rows) - scored_whole(rows) :], wide)
        earned = np.array([row.example.reward > 0.0 for row in rows])
        auc = auc_difference(candidate.shown(rows), reference.shown(rows), earned, wide)
        margin = self._settings.gate_auc_margin
        return Comparison(
            name, _version(reference), reward, auc and Difference(auc.value, auc.error, margin, len(rows))
        )

    def _reward(
        self, candidate: Model, reference: Model, rows: Sequence[Sampled], wide: float
    ) -> Difference | None:
        if len(rows) < self._settings.gate_least_examples:
            return None
        moved, spread = moves(rows, candidate.whole(rows), reference.whole(rows), self._exploration)
        reward = np.array([row.example.reward for row in rows])
        margin = self._settings.gate_reward_margin * float(np.abs(reward).mean())
        value, error = reward_difference(moved, spread, reward, wide)
        return Difference(value, error, margin, len(rows)) if math.isfinite(value) else None


def _complaint(found: Comparison) -> str:
    for what, difference in (("mean reward", found.reward), ("AUC", found.auc)):
        if difference is not None and difference.worse:
            return (
                f"{what} is {-difference.value:.4g} ± {difference.error:.2g} below that of version"
                f" {found.version} ({found.against}) on {difference.examples} examples; legal is"
                f" {difference.margin:.3g}"
            )
    return ""


def _version(model: Model) -> int:
    return model.weights.header.version
