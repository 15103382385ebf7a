"""The model's steps, each table to table: rows stay, columns are added.

``add_base`` -> ``add_scores`` -> ``add_expected`` -> ``add_ranks`` -> ``add_pmf``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from sidecar.contracts.application import Exploration
from sidecar.contracts.calibration import Calibration
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.weights import Weights
from sidecar.policy.base import BaseModel, limited
from sidecar.policy.bulk import scores_by_all
from sidecar.policy.calibration import expected_of, ranks_of
from sidecar.policy.exploration import Pmf, Scores, pmf_of
from sidecar.policy.model import Scorer
from sidecar.policy.panel import Panel, PanelScorer
from sidecar.policy.table import BASE, EXPECTED, PMF, RANK, SCORE, Table, of

Step = Callable[[Table], Table]
Calibrations = Mapping[int, Calibration]
"""What scores mean, by version; a model that does not know has none."""


def add_base(table: Table, base: BaseModel) -> Table:
    """The base model's score of each arm, which is a feature of the arm for every model after it."""
    feature = base.feature
    seen = [
        msgspec.structs.replace(
            row, arm_features={name: one for name, one in row.arm_features.items() if name != feature}
        )
        for row in table.rows
    ]
    (scores,) = scores_by_all(table._replace(rows=tuple(seen)), [Scorer(base.weights)])
    added = table.with_columns({BASE: limited(scores)})
    rows = [
        msgspec.structs.replace(row, arm_features={**row.arm_features, feature: column})
        for row, column in zip(seen, added.cut(BASE), strict=True)
    ]
    return added._replace(rows=tuple(rows))


def add_scores(table: Table, weights: Weights | None, panels: Sequence[Panel]) -> Table:
    """The raw score, of the model that is served and of each deployed version; zero without weights."""
    live = [] if weights is None else [Scorer(weights)]
    found = scores_by_all(table, [*live, *map(PanelScorer, panels)])
    columns = {SCORE: found[0] if live else np.zeros(table.ends[-1], np.float32)}
    for panel, scores in zip(panels, found[len(live) :], strict=True):
        for version, column in zip(panel.versions, np.ascontiguousarray(scores.T), strict=True):
            columns[of(version, SCORE)] = column
    return table.with_columns(columns)


def add_expected(table: Table, calibrations: Calibrations) -> Table:
    """The calibrated expectation of every score whose model knows it."""
    return table.with_columns(
        {
            of(version, EXPECTED): expected_of(table.columns[of(version, SCORE)], calibration)
            for version, calibration in calibrations.items()
        }
    )


def add_ranks(table: Table, calibrations: Calibrations) -> Table:
    """The ECDF rank of every score whose model knows it."""
    return table.with_columns(
        {
            of(version, RANK): ranks_of(table.columns[of(version, SCORE)], calibration)
            for version, calibration in calibrations.items()
        }
    )


def add_pmf(table: Table, explorations: Sequence[Exploration]) -> Table:
    """The probabilities that the served model's scores become; rows that explore alike at once."""
    scores: Scores = table.columns[SCORE]
    pmf: Pmf = np.empty(scores.shape)
    for (exploration, n_arms), places in _explore_alike(table).items():
        if not 0 <= exploration < len(explorations):
            raise BadEvent(f"exploration {exploration}: the request brings {len(explorations)}")
        how = explorations[exploration]
        if len(places) == len(table.rows):
            pmf = pmf_of(scores.reshape(-1, n_arms), how).reshape(-1)
        else:
            lines = np.array([table.ends[place] for place in places])[:, None] + np.arange(n_arms)
            pmf[lines] = pmf_of(scores[lines], how)
    return table.with_columns({PMF: pmf})


def _explore_alike(table: Table) -> Mapping[tuple[int, int], Sequence[int]]:
    """Places of rows by how they explore, and how many arms they have."""
    how = [*zip([row.exploration for row in table.rows], table.sizes, strict=True)]
    if len({*how}) == 1:  # as nearly always
        return {how[0]: range(len(how))}
    found: dict[tuple[int, int], list[int]] = {}
    for place, key in enumerate(how):
        found.setdefault(key, []).append(place)
    return found
