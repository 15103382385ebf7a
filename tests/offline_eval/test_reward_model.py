"""The closed-form reward model: its formula, its folds, and what it refuses."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from offline_eval.errors import BadCandidate
from offline_eval.reward_model import ModelSettings, fit_reward_model

ROWS = {
    "arm": ["a", "a", "a", "b", "b"],
    "slot": [0, 0, 1, 0, 1],
    "reward": [1.0, 0.0, 1.0, 0.0, 0.0],
    "inclusion_probability": [1.0, 1.0, 1.0, 1.0, 0.5],
    "unit_bucket": [0, 1, 2, 3, 4],
    "context": ["{}"] * 5,
}


def fit(settings: ModelSettings, rows=None):
    with duckdb.connect() as connection:
        connection.register("rows", pa.table(rows or ROWS))
        return fit_reward_model(connection, "rows", settings)


def answer(model, arm: str, key: str = "", bucket: int = 0) -> float:
    fold = model.fold_of(np.array([bucket], np.int16))
    return float(model.table[fold, model.key_codes(pa.array([key])), model.arm_codes(pa.array([arm]))][0])


def test_the_answer_is_the_smoothed_mean():
    """(sum + m b) / (rows + m), rows counting 1/inclusion_probability times."""
    model = fit(ModelSettings(prior_rows=10, folds=1))
    mean = 2 / 6

    assert answer(model, "a") == pytest.approx((2 + 10 * mean) / 13)
    assert answer(model, "b") == pytest.approx((0 + 10 * mean) / 13)


def test_what_was_never_seen_gets_the_overall_mean():
    """Unknown arm, unknown key."""
    model = fit(ModelSettings(("slot",), folds=1))

    assert answer(model, "z", "0") == answer(model, "a", "9") == pytest.approx(2 / 6)


def test_a_fold_is_answered_from_the_others():
    """Changing the rewards of a fold changes nothing that is answered to that fold."""
    changed = ROWS | {"reward": [9.0, 0.0, 1.0, 0.0, 0.0]}
    settings = ModelSettings(folds=5)

    before, after = fit(settings), fit(settings, changed)

    assert answer(after, "a", bucket=0) == answer(before, "a", bucket=0)
    assert answer(after, "a", bucket=1) != answer(before, "a", bucket=1)
    assert answer(before, "a", bucket=5) == answer(before, "a", bucket=0)


def test_no_rows_answer_zero():
    """There is nothing to smooth towards."""
    model = fit(ModelSettings(), {name: pa.array(column)[:0] for name, column in ROWS.items()})

    assert answer(model, "a") == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ModelSettings(folds=0), "folds >= 1"),
        (ModelSettings(prior_rows=0.0), "prior_rows > 0"),
        (ModelSettings(prior_rows=float("nan")), "prior_rows > 0"),
        (ModelSettings(("colour",)), "'colour' is no key: legal are slot"),
        (ModelSettings(("context.",)), "'context.' is no key"),
    ],
)
def test_settings_outside_their_range_are_refused(settings, message):
    """With the legal values in the message."""
    with pytest.raises(BadCandidate, match=message):
        fit(settings)


def test_keys_that_name_single_rows_are_refused():
    """A mean per user is no model."""
    n = 5_000
    rows = {
        "arm": [f"a{i}" for i in range(n)], "slot": [0] * n, "reward": [0.0] * n,
        "inclusion_probability": [1.0] * n, "unit_bucket": [0] * n,
        "context": [f'{{"user":"{i}"}}' for i in range(n)],
    }  # fmt: skip

    with pytest.raises(BadCandidate, match="use fewer"):
        fit(ModelSettings(("context.user",)), rows)
