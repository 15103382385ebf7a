"""One decision of the log done again: its columns, its draw, its score, its base model's score."""

from __future__ import annotations

import numpy as np

from policy_learner.join.catalogues import Catalogues
from policy_learner.models.replayed import Replayed
from policy_learner.models.replayed_bases import ReplayedBases
from policy_learner.models.row_index import Row
from sidecar.contracts.base_model import models_in
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.weights import Weights
from sidecar.policy.calibration import expected_of, ranks_of
from sidecar.policy.exploration import Scores
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score_event
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw


def check_row(
    row: Row,
    weights: Weights | None,
    catalogues: Catalogues,
    tables: ArmTables,
    result: Replayed,
    deleted: bool = False,
) -> None:
    """Compare a row with its event, draw again, and score again unless its weights are ``deleted``."""
    event = row.event
    result.counts["decisions"] += 1
    if (row.decision_id, row.arm, row.arm_index, row.propensity) != (
        event.decision_id,
        event.arm,
        event.arm_index,
        event.propensity,
    ) or not _same(row.scores, event.scores, "<f4"):
        result.mismatch("row", row.decision_id, "the columns are not what the stored event says")
    if event.exploration.scheme == "logged":
        result.counts["imported"] += 1
    elif not event.scores:
        result.counts["certain"] += 1
    else:
        _check_draw(row, catalogues, result)
        if not deleted:
            _check_score(event, weights, catalogues, tables, result)


def _check_draw(row: Row, catalogues: Catalogues, result: Replayed) -> None:
    """The logged scores give the logged pmf, and it with the logged seed the logged arm."""
    event = row.event
    result.counts["drawn"] += 1
    try:
        pmf = pmf_of_event(event)
        drawn = draw(pmf, int(event.seed))
    except (SidearmError, ValueError) as error:
        result.mismatch("draw", row.decision_id, str(error))
        return
    ids = event.arms or catalogues.ids(event.catalogue)
    if not _same(row.pmf, pmf.tobytes(), "<f8"):
        result.mismatch("pmf", row.decision_id, "the logged pmf is not that of the logged scores")
    if (drawn, float(pmf[drawn])) != (row.arm_index, row.propensity) or ids[drawn] != row.arm:
        detail = (
            f"drawn again: {ids[drawn]} with {float(pmf[drawn])!r}; logged: {row.arm} with {row.propensity!r}"
        )
        result.mismatch("draw", row.decision_id, detail)


def _check_score(
    event: DecisionEvent,
    weights: Weights | None,
    catalogues: Catalogues,
    tables: ArmTables,
    result: Replayed,
) -> None:
    if event.source != "model":
        return
    if weights is None and not event.cold:
        result.mismatch("score", event.decision_id, f"weights of version {event.model_version} are gone")
        return
    result.counts["scored"] += 1
    try:
        scores, _ = score_event(event, catalogues.get(event.catalogue), weights, tables)
    except SidearmError as error:
        result.mismatch("score", event.decision_id, str(error))
        return
    if scores.astype("<f4").tobytes() != event.scores:
        result.mismatch("score", event.decision_id, "scored again, the scores are others")
    elif event.expected is not None and _meaning(scores, weights, event) != (event.expected, event.rank):
        result.mismatch("meaning", event.decision_id, "calibrated again, expectation or rank are others")


def _meaning(scores: Scores, weights: Weights | None, event: DecisionEvent) -> tuple[float, float] | None:
    """What the score of the shown arm means under the weights; None when they do not know."""
    calibration = weights.header.calibration if weights is not None else None
    if not calibration:
        return None
    shown = scores[event.arm_index : event.arm_index + 1]
    return float(expected_of(shown, calibration)[0]), float(ranks_of(shown, calibration)[0])


def check_base(
    event: DecisionEvent, bases: ReplayedBases, catalogues: Catalogues, tables: ArmTables, result: Replayed
) -> None:
    """Score the arms again by the base models whose scores were features, where there were any."""
    if not models_in(event.outcomes):
        return
    result.counts["based"] += 1
    try:
        complaint = bases.complaint(event, catalogues.get(event.catalogue), tables)
    except SidearmError as error:
        complaint = str(error)
    if complaint:
        result.mismatch("base", event.decision_id, complaint)


def _same(column: list[float] | None, stored: bytes, kind: str) -> bool:
    """Whether a list column holds the stored numbers, to the last bit; null holds none."""
    return np.array(column or [], kind).tobytes() == stored
