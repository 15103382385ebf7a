"""The steps, and the last check: no answer leaves that breaks the out-schema, whatever a step has done."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.errors import BadAnswer
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import ScoreRequest, ScoreRow, VersionScores
from sidecar.policy.arm_table import compile_arms
from sidecar.policy.base import BaseModel
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.models import Models
from sidecar.policy.out_schema import checked
from sidecar.policy.panel import panels_of
from sidecar.policy.pipeline import assembled, score
from sidecar.policy.table import SCORE, table_of
from tests.sidecar.policy.test_panel import weights

ARMS = catalogue_of((Arm("a"), Arm("b", {"price": 2.0}), Arm("c")))
ROWS = (ScoreRow({"hour": 3.0}), ScoreRow({}, (2, 0)), ScoreRow({}, None, (Arm("new"),)))
REQUEST = ScoreRequest(ROWS, (Exploration(),), ARMS.version, ARMS.arms, calibrated=True, versions=(4, 5))
TABLE = table_of(ROWS, compile_arms(ARMS.arms))
PANELS = panels_of([weights(4, 12, ()), weights(5, 12, ())])
GOOD = score(REQUEST, weights(3, 12, ("ca",), True), ArmTables(), panels=PANELS)
NAN, ONE = np.array([np.nan], "<f4").tobytes(), np.array([1.0], "<f8").tobytes()


def with_row(**changes):
    """The last row, which has one arm, changed."""
    return {"rows": (*GOOD.rows[:2], msgspec.structs.replace(GOOD.rows[2], **changes))}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": GOOD.rows[:2]}, "for .3, 2, 1. arms"),
        ({"rows": GOOD.rows[::-1]}, "for .3, 2, 1. arms"),
        (with_row(scores=b""), "for .3, 2, 1. arms"),
        (with_row(pmf=ONE + ONE), "for .3, 2, 1. arms"),
        (with_row(scores=NAN), "1 of 18 are not finite"),
        (with_row(pmf=np.array([np.nan]).tobytes()), "pmf: the least is nan"),
        (with_row(pmf=np.array([0.5]).tobytes()), "pmf: .* the sums are 0.5 to 1.0"),
        (with_row(pmf=np.array([-1.0]).tobytes()), "pmf: the least is -1.0"),
        (with_row(expected=b"123"), "meaning"),
        ({"models": (VersionScores(4, NAN * 5),)}, "more or fewer than 6 arms"),
        ({"models": (VersionScores(4, NAN * 6),)}, "6 of 12 are not finite"),
    ],
)
def test_what_breaks_the_out_schema_does_not_leave(changes, said):
    assert checked(GOOD, TABLE) is GOOD
    with pytest.raises(BadAnswer, match=said):
        checked(msgspec.structs.replace(GOOD, **changes), TABLE)


def test_a_score_beyond_float32_is_the_models_fault():
    """Finite weights, legal features: their sum is too large."""
    asked = msgspec.structs.replace(REQUEST, rows=(ScoreRow({"x": 1e9}),))
    held, values = weights(3, 12, ("ca",)), np.full(1 << 12, 3e38, np.float32)
    huge = [Weights(weights(version, 12, ()).header, values) for version in (3, 4)]
    for live, panels in ((huge[0], ()), (held, panels_of(huge[1:]))):
        with pytest.raises(BadAnswer, match="finite"), np.errstate(over="ignore"):
            score(asked, live, ArmTables(), panels=panels)


def test_a_step_adds_columns_and_cannot_change_the_rows():
    with pytest.raises(BadAnswer, match=r"shape \(5,\), the table 6 lines"):
        TABLE.with_columns({SCORE: np.zeros(5)})
    table = TABLE.with_columns({SCORE: np.zeros(6)})
    assert (table.rows, table.ends, TABLE.columns) == (TABLE.rows, [0, 3, 5, 6], {})


@pytest.mark.parametrize(
    ("base", "calibrated", "steps"),
    [
        (None, False, "add_scores add_pmf"),
        (None, True, "add_scores add_expected add_ranks add_pmf"),
        (BaseModel("name", "base_score", weights(2, 12, ())), False, "add_base add_scores add_pmf"),
    ],
)
def test_the_steps_are_those_that_the_config_asks_for(base, calibrated, steps):
    """``[model.base]`` and ``calibrated``; without either, scores and probabilities."""
    asked = msgspec.structs.replace(REQUEST, calibrated=calibrated)
    assert [one.func.__name__ for one in assembled(asked, Models(None, base))] == steps.split()
