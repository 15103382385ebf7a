"""One conformance suite over everything that is trained: VW, reward model, calibrator, ECDF, and a sequence.

``fit(table, params) -> (predict, predicted, log)``, see ``sidecar.policy.learning``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

from offline_eval.reward_learner import RewardParams, fit_reward
from offline_eval.reward_model import ModelSettings
from policy_learner.learning.vw_learner import VwParams, fit_vw
from sidecar.contracts.errors import BadTable
from sidecar.contracts.model_section import ModelConfig
from sidecar.policy.learning import Fitted, Table, fit_in_sequence, objects_of, rows_at, rows_of
from sidecar.policy.score_learners import ScoreParams, fit_calibrator, fit_ecdf
from tests.parity.generated import ARM_IDS, AWKWARD_NAMES, arms, decision, features

ROWS = 300
VW = VwParams(ModelConfig(bits=10))


class Trained(NamedTuple):
    fit: Callable[[Table], Fitted]
    adds: tuple[str, ...]
    needs: tuple[str, ...]
    """To be fitted."""
    reads: tuple[str, ...]
    """To predict."""


def _sequence(table: Table) -> Fitted:
    calibrator, ecdf = ScoreParams("expected"), ScoreParams("rank")
    return fit_in_sequence(
        table,
        partial(fit_vw, params=VW),
        partial(fit_calibrator, params=calibrator),
        partial(fit_ecdf, params=ecdf),
    )


def _vw(**model: str) -> Trained:
    params = VwParams(ModelConfig(bits=10, **model))
    return Trained(partial(fit_vw, params=params), ("score",), ("event", "arms", "reward"), ("event", "arms"))


LEARNERS = {
    "VW": _vw(),
    "VW dr coin": _vw(cb_type="dr", optimizer="coin"),
    "VW ips ftrl": _vw(cb_type="ips", optimizer="ftrl"),
    "reward model": Trained(
        partial(fit_reward, params=RewardParams(ModelSettings(("slot", "context.device")))),
        ("q",),
        ("reward", "inclusion_probability", "unit_bucket", "arm", "slot", "context"),
        ("unit_bucket", "arm", "slot", "context"),
    ),
    "calibrator": Trained(
        partial(fit_calibrator, params=ScoreParams("expected", score="guess", weight="weight")),
        ("expected",),
        ("guess", "reward", "weight"),
        ("guess",),
    ),
    "ECDF": Trained(
        partial(fit_ecdf, params=ScoreParams("rank", score="guess", weight="weight")),
        ("rank",),
        ("guess", "weight"),
        ("guess",),
    ),
    "sequence": Trained(
        _sequence, ("score", "expected", "rank"), ("event", "arms", "reward"), ("event", "arms")
    ),
}


def _table(seed: int = 0) -> Table:
    """Decisions with all that any learner reads, and a column that none does."""
    rng = random.Random(seed)
    eligible = [arms(rng, AWKWARD_NAMES, ARM_IDS) for _ in range(ROWS)]
    events = [decision(rng, features(rng, AWKWARD_NAMES), some) for some in eligible]
    rewards = [float(rng.random() < 0.3) for _ in events]
    return {
        "event": objects_of(events),
        "arms": objects_of(eligible),
        "reward": np.array(rewards),
        "arm": objects_of([event.arm for event in events]),
        "slot": np.array([rng.randrange(2) for _ in events]),
        "context": objects_of([f'{{"device": "{rng.choice("ab")}"}}' for _ in events]),
        "unit_bucket": np.array([rng.randrange(1024) for _ in events], np.int16),
        "inclusion_probability": np.array([rng.choice([1.0, 0.5]) for _ in events]),
        "guess": np.array([rng.gauss(0.3, 0.2) for _ in events]),
        "weight": np.array([rng.choice([1.0, 2.0]) for _ in events]),
        "note": objects_of(["untouched"] * ROWS),
    }


TABLE = _table()


@pytest.fixture(scope="module", params=LEARNERS)
def learner(request) -> Trained:
    return LEARNERS[request.param]


@pytest.fixture(scope="module")
def fitted(learner) -> Fitted:
    return learner.fit(TABLE)


def _same(one: Table, other: Table) -> bool:
    """The same columns in the same order, to the last bit."""
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype and one[name].tolist() == other[name].tolist() for name in one
    )


def test_fitting_changes_nothing_of_its_table(learner):
    """Neither the columns nor a value in them."""
    table = _table()
    learner.fit(table)
    assert _same(table, TABLE)


def test_predicting_keeps_the_table_and_adds_its_columns(learner, fitted):
    """N rows in, N rows out, the input first; on the training table as on any other."""
    other = _table(seed=1)
    for table, made in (
        (TABLE, fitted.predicted),
        (TABLE, fitted.predict(TABLE)),
        (other, fitted.predict(other)),
    ):
        assert list(made) == [*table, *learner.adds]
        assert all(made[name] is table[name] for name in table)
        assert all(len(made[name]) == ROWS and np.isfinite(made[name]).all() for name in learner.adds)


def test_the_same_table_gives_the_same_fit(learner, fitted):
    """To the last bit: what is foreseen, what is predicted, and the log."""
    again = learner.fit(_table())
    assert _same(again.predicted, fitted.predicted)
    assert _same(again.predict(TABLE), fitted.predict(TABLE))
    assert again.log == fitted.log


def test_a_row_does_not_depend_on_its_company(fitted):
    """Alone, in another order, or among few: the same bits."""
    whole = fitted.predict(TABLE)
    places = random.Random(3).sample(range(ROWS), 40)
    assert _same(fitted.predict(rows_at(TABLE, places)), rows_at(whole, places))
    assert _same(fitted.predict(rows_at(TABLE, [7])), rows_at(whole, [7]))


def test_what_was_foreseen_does_not_know_the_rows_own_reward(learner, fitted):
    """Another reward changes what is foreseen of other rows, never of its own."""
    for place in (0, 70, 150, ROWS - 1):
        reward = TABLE["reward"].copy()
        reward[place] = 1.0 - reward[place]
        changed = learner.fit({**TABLE, "reward": reward}).predicted
        for name in learner.adds:
            assert changed[name][place] == fitted.predicted[name][place]


def test_a_fit_is_not_moved_by_the_next_one(learner, fitted):
    """What predicts is what was fitted then, whatever is fitted later."""
    before = fitted.predict(TABLE)
    learner.fit(_table(seed=2))
    assert _same(fitted.predict(TABLE), before)


def test_it_has_learnt_something(learner, fitted):
    """Fitted on other rows it predicts otherwise."""
    other = learner.fit(_table(seed=2)).predict(TABLE)
    assert not any(np.array_equal(other[name], fitted.predict(TABLE)[name]) for name in learner.adds)


def test_only_what_is_needed_is_read(learner, fitted):
    """Without the other columns, and to predict without the reward, everything comes out the same."""
    needed = learner.fit({name: TABLE[name] for name in learner.needs})
    told = needed.predict({name: TABLE[name] for name in learner.reads})
    for name in learner.adds:
        assert needed.predicted[name].tobytes() == fitted.predicted[name].tobytes()
        assert told[name].tobytes() == fitted.predict(TABLE)[name].tobytes()


def test_the_log_is_plain_and_says_who_and_how_many(fitted):
    """Text and numbers only: no model objects in it."""
    assert {type(value) for value in fitted.log.values()} <= {str, int, float}
    assert fitted.log["rows"] == ROWS
    assert fitted.log["learner"]


def test_no_rows_are_a_table_too(learner, fitted):
    """Fitted on nothing it predicts, and of nothing it predicts nothing."""
    nothing = rows_at(TABLE, [])
    assert rows_of(fitted.predict(nothing)) == 0
    empty = learner.fit(nothing)
    assert rows_of(empty.predicted) == 0
    assert all(np.isfinite(empty.predict(TABLE)[name]).all() for name in learner.adds)


def test_a_table_that_lacks_a_column_is_refused(learner, fitted):
    """With the name of the column, to be fitted and to predict."""
    for name in learner.needs:
        with pytest.raises(BadTable, match=name):
            learner.fit({other: column for other, column in TABLE.items() if other != name})
    for name in learner.reads:
        with pytest.raises(BadTable, match=name):
            fitted.predict({other: column for other, column in TABLE.items() if other != name})


def test_columns_of_different_lengths_are_refused(learner, fitted):
    """Even where the learner does not need the one that is short."""
    torn = {**TABLE, learner.needs[0]: TABLE[learner.needs[0]][:-1]}
    with pytest.raises(BadTable, match="different lengths"):
        learner.fit(torn)
    with pytest.raises(BadTable, match="different lengths"):
        fitted.predict({**TABLE, learner.reads[0]: TABLE[learner.reads[0]][:-1]})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused(learner, bad):
    """In any column of numbers that is learnt from."""
    for name in learner.needs:
        if TABLE[name].dtype.kind == "f":
            column = TABLE[name].copy()
            column[5] = bad
            with pytest.raises(BadTable, match=name):
                learner.fit({**TABLE, name: column})


def test_no_column_is_lost(learner, fitted):
    """A table that has one of the added names is refused: predicting twice would hide what came first."""
    with pytest.raises(BadTable, match="already"):
        fitted.predict(fitted.predict(TABLE))
    with pytest.raises(BadTable, match="already"):
        learner.fit(fitted.predicted)
