"""The gate's memory: what was published last, what was published a while ago, and what was refused.

A candidate is compared with each on the same examples, the sample of the window, each scored by the weights
as they would be served. Figures of one learner at two times could not be: they are of different traffic.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np

from policy_learner.gate.comparison import auc_difference, reward_difference, standard_errors
from policy_learner.gate.earlier import Earlier
from policy_learner.gate.gate_sample import GateSample, Sample
from policy_learner.gate.moves import moves
from policy_learner.gate.scored import Scored
from policy_learner.settings import LearnerSettings
from sidecar.contracts import learner_report
from sidecar.contracts.application import ExplorationConfig
from sidecar.contracts.learner_report import Comparison, Difference, Judgement, Verdict
from sidecar.contracts.weights import Weights

REFUSALS_KEPT = 16
log = logging.getLogger("sidearm.learner")


class Gatekeeper:
    """Judges candidates by what they would earn and by how well they order.

    Args:
        settings: the gate's.
        exploration: how the policy explores, as it is configured now.
        sample: filled by whoever learns.
    """

    def __init__(self, settings: LearnerSettings, exploration: ExplorationConfig, sample: GateSample) -> None:
        self._settings, self._sample = settings, sample
        self._exploration = exploration.as_logged()
        self._candidate: Scored | None = None
        self._good: Scored | None = None
        self._window_before = Earlier("a window before", settings.gate_window_examples)
        self._before = Earlier(f"{settings.gate_before_s:g} s before", 1000.0 * settings.gate_before_s)
        self.refusals: deque[Judgement] = deque(maxlen=REFUSALS_KEPT)
        self.latest: Judgement | None = None
        self._in_a_row = 0
        """Refusals since something passed."""

    def compare(self, verdict: Verdict, weights: Weights) -> Verdict:
        """The verdict on weights that are numbers, bounded and the trainer's own."""
        sample = self._sample.take()
        self._candidate = candidate = Scored(weights)
        if len(sample.rewards) < self._settings.gate_least_examples:
            return verdict
        found = tuple([self._beside(name, candidate, model, sample) for name, model in self._references()])
        reason = self._complaint(found)
        return msgspec.structs.replace(verdict, passed=not reason, reason=reason, comparisons=found)

    def published(self, version: int) -> None:
        """The candidate stands as this version: it is the last good one."""
        if self._candidate is not None and _version(self._candidate) == version:
            self._trust(self._candidate)

    def begin(self, weights: Weights) -> None:
        """What was published before this process."""
        self._trust(Scored(weights))

    def note(self, verdict: Verdict, version: int, examples: int, at_ms: int) -> None:
        """An event of the gate; refusals are kept, and logged ever more rarely."""
        self.latest = judgement = Judgement(version, at_ms, examples, verdict)
        if verdict.passed:
            self._pass()
        else:
            self._refuse(judgement)

    def _refuse(self, judgement: Judgement) -> None:
        self.refusals.append(judgement)
        self._in_a_row += 1
        if _is_said(self._in_a_row):
            log.error("gate refused, %d in a row: %s", self._in_a_row, learner_report.encode(judgement))

    def _pass(self) -> None:
        if self._in_a_row:
            log.warning("gate lets weights pass again, after %d refusals", self._in_a_row)
        self._in_a_row = 0

    def _complaint(self, found: Sequence[Comparison]) -> str:
        """Why not, if not. Just after a refusal one standard error of doubt is enough for another.

        Otherwise poison would pass half way: the more of the window it fills, the less certain its harm.
        """
        wide = standard_errors(self._settings.gate_wrong_refusals)
        was_refused = self.latest is not None and not self.latest.verdict.passed
        for one in found:
            for measure, difference in (("mean reward", one.reward), ("AUC", one.auc)):
                if difference is None:
                    continue
                error = difference.error / wide if was_refused else difference.error
                if difference.value + error < -difference.margin:
                    return _in_words(measure, difference, error, one)
        return ""

    def _trust(self, model: Scored) -> None:
        self._good, self._candidate = model, None
        header = model.weights.header
        self._window_before.remember(header.examples, model.weights)
        self._before.remember(header.trained_until_ms, model.weights)

    def _references(self) -> list[tuple[str, Scored]]:
        """What was published, each version once."""
        named = [(one.name, one.model) for one in (self._before, self._window_before)]
        named.append(("last good", self._good))
        found = {_version(model): (name, model) for name, model in named if model is not None}
        return list(found.values())[::-1]

    def _beside(self, name: str, candidate: Scored, reference: Scored, sample: Sample) -> Comparison:
        wide, margin = standard_errors(self._settings.gate_wrong_refusals), self._settings.gate_auc_margin
        reward = self._reward(candidate, reference, sample, wide)
        earned = sample.rewards > 0.0
        auc = auc_difference(candidate.shown(sample), reference.shown(sample), earned, wide)
        found = auc and Difference(auc.value, auc.error, margin, len(earned))
        return Comparison(name, _version(reference), reward, found)

    def _reward(self, candidate: Scored, reference: Scored, sample: Sample, wide: float) -> Difference | None:
        rewards = sample.whole.rewards
        if len(rewards) < self._settings.gate_least_examples:
            return None
        ours, theirs = candidate.whole(sample), reference.whole(sample)
        moved, spread = moves(sample.whole, ours, theirs, self._exploration)
        margin = self._settings.gate_reward_margin * float(np.abs(rewards).mean())
        value, error = reward_difference(moved, spread, rewards, wide)
        return Difference(value, error, margin, len(rewards)) if math.isfinite(value + error) else None


def _is_said(refusals: int) -> bool:
    """The 1st of a row, the 2nd, the 4th, …: poison is refused twenty times a second for as long as it lasts.

    >>> [n for n in range(100) if _is_said(n)]
    [1, 2, 4, 8, 16, 32, 64]
    """
    return refusals.bit_count() == 1


def _in_words(measure: str, difference: Difference, error: float, found: Comparison) -> str:
    return (
        f"{measure} is {-difference.value:.4g} ± {error:.2g} below that of version {found.version}"
        f" ({found.against}) on {difference.examples} examples; legal is {difference.margin:.3g}"
    )


def _version(model: Scored) -> int:
    return model.weights.header.version
