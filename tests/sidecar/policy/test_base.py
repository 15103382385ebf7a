"""The base model's stage: its score is a feature like any other, and had again from the log."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest

from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.arm_features import column_of
from sidecar.contracts.base_model import columns_of, models_in, name_of
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.events import arms_of
from sidecar.contracts.weights import Weights, WeightsHeader, encode_weights, weights_of
from sidecar.contracts.wire import ScoreRequest, ScoreRow, decode_response, encode
from sidecar.policy.adapters import RowInput, read_scores
from sidecar.policy.arm_table import compile_arms
from sidecar.policy.base import BaseModel, base_column_of_event
from sidecar.policy.features import compile_context
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.model import scores_of
from sidecar.policy.pipeline import score, score_event
from tests.parity.generated import AWKWARD_NAMES, decision, features

FEATURE = "base_score"


def _weights(seed: int, bits: int, interactions: tuple[str, ...], size: float = 1.0) -> Weights:
    header = WeightsHeader(
        version=seed,
        bits=bits,
        interactions=interactions,
        positions=(),
        trained_until_ms=1,
        epoch=1,
        examples=3,
    )
    return weights_of(header, np.random.default_rng(seed).normal(size=2**bits).astype(np.float32) * size)


WEIGHTS = _weights(1, 12, ("ca", "aa"))
OLD = _weights(2, 10, ("ca",))
BASE = BaseModel(name_of(encode_weights(OLD)), FEATURE, OLD)


def _case(seed: int):
    """A catalogue, and rows of every kind: all arms, some, given ones, with fetched features."""
    rng = random.Random(seed)
    catalogue = catalogue_of(tuple(Arm(f"sku-{n}", features(rng, AWKWARD_NAMES)) for n in range(9)))
    fetched = {"stock": column_of([float(n) for n in range(9)])}
    rows = (
        ScoreRow(features(rng, AWKWARD_NAMES)),
        ScoreRow(features(rng, AWKWARD_NAMES), (3, 1)),
        ScoreRow(features(rng, AWKWARD_NAMES), given_arms=(Arm("new", {"price": 2.0}), catalogue.arms[0])),
        ScoreRow(features(rng, AWKWARD_NAMES), arm_features=fetched),
    )
    return catalogue, rows


def _score(catalogue, rows, weights=WEIGHTS, base=BASE):
    request = ScoreRequest(tuple(rows), (Exploration(),), catalogue.version, catalogue.arms)
    return score(request, weights, ArmTables(), base)


@pytest.mark.parametrize("seed", range(5))
def test_the_score_of_the_base_model_is_a_feature_like_any_other(seed):
    """What comes out is what a request that brings the column itself gets, bit for bit; batched or not."""
    catalogue, rows = _case(seed)
    answer = decode_response(encode(_score(catalogue, rows)))
    plain = _score(catalogue, rows, OLD, None)
    by_hand = [
        msgspec.structs.replace(row, arm_features={**row.arm_features, FEATURE: one.scores})
        for row, one in zip(rows, plain.rows, strict=True)
    ]
    assert answer.rows == _score(catalogue, by_hand, base=None).rows
    assert [one.scores for one in columns_of(answer)] == [one.scores for one in plain.rows]
    for row, one in zip(rows, answer.rows, strict=True):
        assert _score(catalogue, [row]).rows == (one,)


@pytest.mark.parametrize("seed", range(5))
def test_a_logged_decision_gives_the_same_column_and_the_same_scores(seed):
    """Scored again from its event alone; the base model is needed only to prove its own column."""
    catalogue, rows = _case(seed)
    answer = _score(catalogue, rows)
    for row, scored, column in zip(rows, answer.rows, columns_of(answer), strict=True):
        event = msgspec.structs.replace(
            decision(random.Random(seed), row.context, catalogue.arms[:2]),
            catalogue=catalogue.version,
            arms=tuple(arm.id for arm in row.given_arms)
            or tuple(catalogue.arms[place].id for place in row.arms or ()),
            given_arms={arm.id: arm.features for arm in row.given_arms},
            arm_features={**row.arm_features, FEATURE: column.scores},
            outcomes={"device": "given", FEATURE: column.outcome},
        )
        scores, _ = score_event(event, catalogue, WEIGHTS, ArmTables())
        assert scores.tobytes() == scored.scores
        assert models_in(event.outcomes) == {FEATURE: BASE.name}
        assert base_column_of_event(event, catalogue, BASE, ArmTables()) == column.scores
        learnt = compile_arms(arms_of(event, catalogue))  # as the trainer's gate sees it
        assert scores_of(RowInput(compile_context(row.context), learnt), WEIGHTS).tobytes() == scored.scores


def test_the_base_model_does_not_see_its_own_feature():
    """Whatever else has that name is covered by its score; a column of that name is not even seen."""
    catalogue, rows = _case(1)
    named = ScoreRow(rows[0].context, arm_features={FEATURE: column_of([7.0] * 9)})
    assert _score(catalogue, [named]) == _score(catalogue, rows[:1])


def test_a_score_beyond_what_a_feature_may_be_is_limited():
    """A base model gone wild costs no answer."""
    catalogue, rows = _case(2)
    wild = BASE._replace(weights=_weights(3, 10, ("ca",), 1e12))
    answer = _score(catalogue, rows, base=wild)
    columns = [read_scores(one.scores) for one in columns_of(answer)]
    assert max(np.abs(column).max() for column in columns) == np.float32(1e9)
    assert all(np.isfinite(read_scores(one.scores)).all() for one in answer.rows)


def test_a_cold_model_logs_the_base_models_score_too():
    """So that the first examples already teach what it is worth."""
    catalogue, rows = _case(3)
    answer = _score(catalogue, rows, weights=None)
    assert answer.cold
    assert [one.scores for one in columns_of(answer)] == [
        one.scores for one in _score(catalogue, rows, OLD, None).rows
    ]
