"""The policy, from features to probabilities, stage by stage: what serves is also what learns and evaluates.

::

    in-schema -> in-adapter -> the model's steps -> out-adapter -> out-schema
    wire.py      adapters.py   steps.py             adapters.py    out_schema.py

A request becomes a table with a line for each eligible arm of each row (table.py). A step takes the table and
gives it back with a column more: the base model's score, the raw score, what it means, its rank, the
probability. Which steps there are follows from the application's config (docs/model.md). Rows are adapted a
block at a time, as scores are asked for, once for all models.

N rows in, N rows out. A row's answer does not depend on the rows beside it, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.errors import UnknownCatalogue
from sidecar.contracts.events import DecisionEvent, features_of
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import BaseScores, ScoreRequest, ScoreResponse
from sidecar.policy.adapters import RowInput, adapt_out, adapt_out_version, own_arms_of_event
from sidecar.policy.arm_columns import with_columns
from sidecar.policy.arm_table import ArmTable
from sidecar.policy.base import BaseModel
from sidecar.policy.exploration import Pmf, Scores
from sidecar.policy.features import compile_context
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.model import scores_of
from sidecar.policy.models import Models
from sidecar.policy.out_schema import checked
from sidecar.policy.panel import Panel
from sidecar.policy.propensity import pmf_with
from sidecar.policy.steps import Step, add_base, add_expected, add_pmf, add_ranks, add_scores
from sidecar.policy.table import BASE, Table, table_of


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
        BadAnswer: what came of it breaks the out-schema.
    """
    models = Models(weights, base, panels).asked_for(request.versions)
    table = table_of(request.rows, arms_for(request, tables))
    for step in assembled(request, models):
        table = step(table)
    return checked(answer(table, request, models), table)


def assembled(request: ScoreRequest, models: Models) -> Iterator[Step]:
    """The model's steps, in their order."""
    if models.base is not None:
        yield partial(add_base, base=models.base)
    yield partial(add_scores, weights=models.served, panels=models.panels)
    if request.calibrated:
        yield partial(add_expected, calibrations=models.calibrations())
        yield partial(add_ranks, calibrations=models.calibrations())
    yield partial(add_pmf, explorations=request.explorations)


def answer(table: Table, request: ScoreRequest, models: Models) -> ScoreResponse:
    """What goes out: what decides, and what only the log needs."""
    base, header, wanted = models.base, models.served and models.served.header, set(request.versions)
    return ScoreResponse(
        adapt_out(table),
        model_version=header.version if header else 0,
        cold=header is None,
        trained_until_ms=header.trained_until_ms if header else 0,
        base=base and BaseScores(base.name, base.feature, tuple(table.cut(BASE))),
        models=tuple([adapt_out_version(table, one) for one in models.versions() if one in wanted]),
    )


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
    return scores_of(RowInput(compile_context(features_of(event)), arms), weights)


def eligible_table(event: DecisionEvent, catalogue: Catalogue, tables: ArmTables) -> ArmTable:
    """The eligible arms of a logged decision, with what was fetched for them.

    Raises:
        BadEvent: ``catalogue`` is not the one that the event names, or a column is broken.
    """
    return with_columns(own_arms_of_event(event, catalogue, tables), event.arm_features)


def arms_for(request: ScoreRequest, tables: ArmTables) -> ArmTable | None:
    """The catalogue that a request's rows point into; one that it brings is held for the next request."""
    if request.arms and request.arms_key not in tables:
        return tables.put(request.arms_key, request.arms)
    try:
        return tables.get(request.arms_key)
    except UnknownCatalogue:
        if all(row.given_arms for row in request.rows):
            return None
        raise
