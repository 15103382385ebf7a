"""What stands: a version that was sent, until its answer is known; a base in the place of the model."""

from __future__ import annotations

from policy_learner.failpoints import reached
from policy_learner.gate.soundness import judge_parity, judge_values
from policy_learner.join.positions import START, ms_of, order
from policy_learner.learning.records import Record
from policy_learner.learning.training import Training
from policy_learner.models import publish as publishing
from policy_learner.rebase.rebasing import Candidate
from policy_learner.state import Learner
from sidecar.contracts.learner_report import Verdict
from sidecar.contracts.scripts.publish import Publication


def judge(learner: Learner, training: Training) -> tuple[Verdict, Record | None]:
    """Numbers first, then the trainer's own, then what they are worth; the record, if they are numbers."""
    settings = learner.deps.settings
    verdict = judge_values(training.trainer.weights_values(), settings.gate_largest_weight)
    if not verdict.passed:
        return verdict, None
    record = training.record(learner.progress.version + 1, learner.epoch)
    sample = (training.latest or learner.training.latest)[-settings.gate_sample :]
    verdict = judge_parity(verdict, record.weights, training.trainer, sample, settings.gate_tolerance)
    return learner.gatekeeper.compare(verdict, record.weights) if verdict.passed else verdict, record


def note(learner: Learner, training: Training, verdict: Verdict) -> None:
    """Keep the numbers of a verdict on the next version."""
    at_ms = max(map(ms_of, training.trained))
    learner.gatekeeper.note(verdict, learner.progress.version + 1, training.examples, at_ms)


def resend(learner: Learner) -> None:
    """Make the version that was sent stand; its answer may have been lost."""
    publication = learner.progress.outstanding
    if publication is None:
        return
    publishing.publish(learner.deps.scripts, learner.deps.application.name, publication)
    reached("published")
    _stands(learner, publication)


def hand_over(learner: Learner, candidate: Candidate) -> bool:
    """The next version is the base's, if the gate lets it pass; else everything stays as it is."""
    training, progress = candidate.training, learner.progress
    training.succeed(learner.training)
    verdict, record = judge(learner, training)
    if not verdict.passed or record is None:
        learner.rebasing.refuse(f"gate: {verdict.reason}")
        return False
    reached("base gated")
    learner.training.close()
    learner.training = training
    note(learner, training, verdict)
    progress.batches, progress.since = candidate.batches, 0
    base = candidate.offer.base
    progress.outstanding = learner.publisher.publication_of(record, candidate.batches, base)
    resend(learner)
    return True


def has_moved(learner: Learner) -> bool:
    """Something happened since the last checkpoint."""
    before = learner.progress.checkpoint_positions or [START] * len(learner.partitions)
    if learner.progress.version != learner.progress.checkpoint_version:
        return True
    return any(order(a) != order(b) for a, b in zip(before, learner.progress.positions, strict=True))


def _stands(learner: Learner, publication: Publication) -> None:
    progress = learner.progress
    progress.version, progress.version_epoch = publication.version, publication.epoch
    progress.batches, progress.since, progress.judged, progress.outstanding = [], 0, 0, None
    learner.figures.gate_error = ""
    learner.gatekeeper.published(publication.version)
    learner.publisher.stands(publication)
    learner.rebasing.stands(publication)
    learner.history.note(publication, learner.gatekeeper.latest)
