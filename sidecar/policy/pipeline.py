"""The policy, from features to probabilities, stage by stage: what serves is also what learns and evaluates.

::

    in-schema -> in-adapter -> model -> exploration -> out-adapter -> calibration -> out-schema
    wire.py      adapters.py   model.py  exploration.py  adapters.py   calibration.py   wire.py

Where there is a base model (base.py), its score of each arm is first made a feature of the arm.

N rows in, N rows out. A row's answer does not depend on the rows beside it, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import msgspec
import numpy as np

from sidecar.contracts.application import Catalogue, Exploration
from sidecar.contracts.errors import BadEvent, UnknownCatalogue
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import ScoredRow, ScoreRequest, ScoreResponse, ScoreRow, VersionScores
from sidecar.policy.adapters import (
    ArmTable,
    ArmTables,
    RowInput,
    adapt_in,
    adapt_out,
    compile_context,
    own_arms,
    own_arms_of_event,
    read_scores,
    with_columns,
)
from sidecar.policy.base import BaseModel, base_scores, with_base
from sidecar.policy.calibration import expected_of, ranks_of
from sidecar.policy.exploration import Pmf, Scores, pmf_of
from sidecar.policy.model import scores_of
from sidecar.policy.panel import Panel, panel_scores
from sidecar.policy.propensity import pmf_with
from sidecar.policy.stacked import alike, in_stacks, scores_of_stack, stack


def score(
    request: ScoreRequest,
    weights: Weights | None,
    tables: ArmTables,
    base: BaseModel | None = None,
    panels: Sequence[Panel] = (),
) -> ScoreResponse:
    """Answer a request of the in-schema with one of the out-schema. Without weights every arm is alike.

    Args:
        request: what is to be scored.
        weights: the model that is served.
        tables: of the catalogues.
        base: the base model, if there is one.
        panels: deployed versions, of which the request may name some.

    Raises:
        UnknownCatalogue: rows point into a catalogue that is neither held nor sent along.
        NothingToScore: a row without an eligible arm.
        BadEvent: a place or a number outside its range.
        BadExploration: a scheme that has no pmf.
    """
    table = table_for(request, tables)
    asked = request.rows if base is None else tuple([with_base(row, table, base) for row in request.rows])
    rows = score_rows(asked, request, table, weights)
    if request.calibrated:
        rows = with_meaning(rows, weights)
    response = response_of(rows, weights)
    if request.versions:
        response = msgspec.structs.replace(response, models=said_by_panels(request, asked, table, panels))
    return response if base is None else msgspec.structs.replace(response, base=base_scores(asked, base))


def score_rows(
    rows: Sequence[ScoreRow], request: ScoreRequest, table: ArmTable | None, weights: Weights | None
) -> tuple[ScoredRow, ...]:
    """All decisions; those that are alike go through every stage together."""
    scored: list[ScoredRow | None] = [None] * len(rows)
    for places in alike(rows):
        if weights is None:
            break
        arms = own_arms(rows[places[0]], table)
        exploration = exploration_for(rows[places[0]], request)
        for some in in_stacks(places, rows, arms, weights.header.interactions):
            scores = scores_of_stack(stack([rows[place] for place in some], arms), weights)
            for place, *of_row in zip(some, scores, pmf_of(scores, exploration), strict=True):
                scored[place] = adapt_out(*of_row)
    return tuple(
        [
            done or score_row(row, table, exploration_for(row, request), weights)
            for row, done in zip(rows, scored, strict=True)
        ]
    )


def score_row(
    row: ScoreRow, table: ArmTable | None, exploration: Exploration, weights: Weights | None
) -> ScoredRow:
    """One decision, through every stage."""
    adapted = adapt_in(row, table)
    scores = scores_of(adapted, weights)
    pmf = pmf_of(scores, exploration)
    return adapt_out(scores, pmf)


def with_meaning(rows: tuple[ScoredRow, ...], weights: Weights | None) -> tuple[ScoredRow, ...]:
    """The columns that only the log needs: what each score means. All rows in one step.

    As they are where the weights do not know.
    """
    calibration = weights.header.calibration if weights is not None else None
    if not calibration or not rows:
        return rows
    scores = read_scores(b"".join([row.scores for row in rows]))
    expected, ranks = expected_of(scores, calibration).tobytes(), ranks_of(scores, calibration).tobytes()
    ends = list(accumulate([len(row.scores) for row in rows], initial=0))
    return tuple(
        [
            ScoredRow(row.scores, row.pmf, expected[start:end], ranks[start:end])
            for row, start, end in zip(rows, ends, ends[1:], strict=False)
        ]
    )


def said_by_panels(
    request: ScoreRequest, rows: Sequence[ScoreRow], table: ArmTable | None, panels: Sequence[Panel]
) -> tuple[VersionScores, ...]:
    """What those deployed versions say that the request names and that are held here."""
    wanted = set(request.versions)
    found = []
    for panel in panels:
        if wanted.isdisjoint(panel.versions):
            continue
        scores = panel_scores(rows, table, panel)
        for place, version in enumerate(panel.versions):
            if version in wanted:
                found.append(_version_scores(version, scores[:, place], panel, request.calibrated))
    return tuple(found)


def _version_scores(version: int, scores: Scores, panel: Panel, calibrated: bool) -> VersionScores:
    calibration = panel.calibrations[panel.versions.index(version)] if calibrated else None
    own = np.ascontiguousarray(scores)
    if not calibration:
        return VersionScores(version, own.tobytes())
    expected, ranks = expected_of(own, calibration), ranks_of(own, calibration)
    return VersionScores(version, own.tobytes(), expected.tobytes(), ranks.tobytes())


def score_event(
    event: DecisionEvent, catalogue: Catalogue, weights: Weights | None, tables: ArmTables
) -> tuple[Scores, Pmf]:
    """Scores and pmf of a logged decision under ``weights``, as if it were being served now.

    With the weights that served it, both equal what was served to the last bit.

    Raises:
        BadEvent: ``catalogue`` is not the one that the event names.
        BadExploration: an imported decision, of which the logging policy's pmf is not known; its scores are
            had from :func:`scores_of_event`.
    """
    scores = scores_of_event(event, catalogue, weights, tables)
    return scores, pmf_with(event, scores)


def scores_of_event(
    event: DecisionEvent, catalogue: Catalogue, weights: Weights | None, tables: ArmTables
) -> Scores:
    """Scores alone of a logged decision, in the order of its eligible arms."""
    arms = eligible_table(event, catalogue, tables)
    return scores_of(RowInput(compile_context(event.context), arms), weights)


def table_for(request: ScoreRequest, tables: ArmTables) -> ArmTable | None:
    """The catalogue that a request's rows point into; one that it brings is held for the next request."""
    if request.arms and request.arms_key not in tables:
        return tables.put(request.arms_key, request.arms)
    try:
        return tables.get(request.arms_key)
    except UnknownCatalogue:
        if all(row.given_arms for row in request.rows):
            return None
        raise


def exploration_for(row: ScoreRow, request: ScoreRequest) -> Exploration:
    """How a row explores."""
    if not 0 <= row.exploration < len(request.explorations):
        raise BadEvent(f"exploration {row.exploration}: the request brings {len(request.explorations)}")
    return request.explorations[row.exploration]


def eligible_table(event: DecisionEvent, catalogue: Catalogue, tables: ArmTables) -> ArmTable:
    """The eligible arms of a logged decision, with what was fetched for them.

    Raises:
        BadEvent: ``catalogue`` is not the one that the event names, or a column is broken.
    """
    return with_columns(own_arms_of_event(event, catalogue, tables), event.arm_features)


def response_of(rows: tuple[ScoredRow, ...], weights: Weights | None) -> ScoreResponse:
    """The out-schema: rows, and which weights they come from."""
    if weights is None:
        return ScoreResponse(rows, model_version=0, cold=True)
    header = weights.header
    return ScoreResponse(rows, header.version, cold=False, trained_until_ms=header.trained_until_ms)
