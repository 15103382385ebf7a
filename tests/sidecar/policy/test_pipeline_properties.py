"""N rows in, N rows out, whatever the rows; and what is new scores by what it shares with what is known."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.arm_features import column_of
from sidecar.contracts.calibration import Calibration, curve_of
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.weights import Weights, WeightsHeader, weights_of
from sidecar.contracts.wire import ScoreRequest, ScoreRow, decode_request, decode_response, encode
from sidecar.policy.adapters import RowInput, read_pmf, read_scores
from sidecar.policy.arm_table import compile_arms
from sidecar.policy.features import compile_context
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.model import terms_of
from sidecar.policy.panel import panels_of
from sidecar.policy.pipeline import score
from tests.parity.generated import AWKWARD_NAMES, features

BITS = 12
CATALOGUE = catalogue_of(tuple(Arm(f"sku-{n}", features(random.Random(n), AWKWARD_NAMES)) for n in range(12)))
EXPLORATIONS = (
    Exploration(),
    Exploration("uniform"),
    Exploration("softmax", temperature=0.3),
    Exploration("squarecb", gamma=20.0, floor=0.01),
)
CALIBRATION = Calibration(
    curve_of(np.array([-2.0, 1.0]), np.array([0.0, 0.4])),
    curve_of(np.array([-3.0, 3.0]), np.array([0.2, 1.0])),
    examples=1024,
)


def weights(version: int = 9, interactions: tuple[str, ...] = ("ca",), values=None) -> Weights:
    header = WeightsHeader(
        version=version,
        bits=BITS,
        interactions=interactions,
        positions=("5-0",),
        trained_until_ms=77,
        epoch=1,
        examples=3,
        calibration=CALIBRATION,
    )
    if values is None:
        values = np.random.default_rng(version).normal(size=1 << BITS).astype(np.float32)
    return weights_of(header, values)


PANELS = panels_of([weights(3), weights(4), weights(5, ("ca", "aa"))])
Values = st.one_of(st.sampled_from(["red", "blue", ""]), st.booleans(), st.floats(-1e3, 1e3, width=32))
Contexts = st.dictionaries(st.sampled_from(AWKWARD_NAMES), Values, max_size=4)
Given = st.lists(
    st.builds(Arm, st.sampled_from(["new", "sku-1", "7", "ä"]), Contexts),
    min_size=1,
    max_size=4,
    unique_by=lambda arm: arm.id,
)
Places = st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True).map(tuple)


@st.composite
def rows(draw) -> ScoreRow:
    """A row of any kind: the catalogue, some of it, or arms of its own; with or without fetched features."""
    places, given_arms = draw(
        st.one_of(st.just((None, ())), st.tuples(Places, st.just(())), st.tuples(st.none(), Given.map(tuple)))
    )
    n_arms = len(given_arms) or len(places if places is not None else CATALOGUE.arms)
    columns = {}
    if draw(st.booleans()):
        columns["stock"] = column_of([draw(st.floats(0, 9, width=32)) for _ in range(n_arms)])
    exploration = draw(st.integers(0, len(EXPLORATIONS) - 1))
    return ScoreRow(draw(Contexts), places, given_arms, exploration, columns)


def ask(some, held=None, **more):
    """Through both schemas, as over the socket."""
    request = ScoreRequest(tuple(some), EXPLORATIONS, CATALOGUE.version, CATALOGUE.arms, **more)
    answer = score(decode_request(encode(request)), held, ArmTables(), panels=PANELS)
    return decode_response(encode(answer))


def n_arms_of(row: ScoreRow) -> int:
    return len(row.given_arms) or len(row.arms if row.arms is not None else CATALOGUE.arms)


@settings(max_examples=60, deadline=None)
@given(some=st.lists(rows(), max_size=8), order=st.randoms(use_true_random=False), cold=st.booleans())
def test_as_many_rows_come_out_as_went_in_each_as_if_alone(some, order, cold):
    """In their order, with a number for every eligible arm; its company makes no difference to a bit."""
    held = None if cold else weights()
    answer = ask(some, held, calibrated=True, versions=(3, 5))
    assert len(answer.rows) == len(some)
    assert answer.cold is cold
    for row, scored in zip(some, answer.rows, strict=True):
        pmf = read_pmf(scored.pmf)
        assert len(read_scores(scored.scores)) == len(pmf) == n_arms_of(row)
        assert (pmf >= 0.0).all()
        assert pmf.sum() == pytest.approx(1.0, abs=1e-12)
        assert ask([row], held, calibrated=True).rows == (scored,)
    shuffled = order.sample(range(len(some)), len(some))
    turned = ask([some[n] for n in shuffled], held, calibrated=True)
    assert turned.rows == tuple(answer.rows[n] for n in shuffled)


@settings(max_examples=40, deadline=None)
@given(some=st.lists(rows(), min_size=1, max_size=6))
def test_every_deployed_version_answers_for_every_row(some):
    """One number an eligible arm and version: what the version says when it is the one that serves."""
    answer = ask(some, weights(), calibrated=True, versions=(3, 4, 5))
    assert {one.version for one in answer.models} == {3, 4, 5}
    for one in answer.models:
        alone = ask(
            some, weights(one.version, ("ca", "aa") if one.version == 5 else ("ca",)), calibrated=True
        )
        assert one.scores == b"".join(row.scores for row in alone.rows)
        assert one.expected == b"".join(row.expected for row in alone.rows)


@settings(max_examples=40, deadline=None)
@given(some=st.lists(rows(), min_size=1, max_size=6))
def test_a_cold_start_is_uniform_but_for_nothing_and_says_so(some):
    """Without weights every arm scores zero, and every scheme draws evenly."""
    answer = ask(some)
    assert (answer.cold, answer.model_version) == (True, 0)
    for row in answer.rows:
        pmf = read_pmf(row.pmf)
        assert not read_scores(row.scores).any()
        np.testing.assert_allclose(pmf, 1.0 / len(pmf), rtol=0, atol=1e-12)


def learnt_from(contexts, arms) -> Weights:
    """Weights that are zero but where these contexts and arms have their terms."""
    values = np.zeros(1 << BITS, np.float32)
    rng = np.random.default_rng(2)
    for context in contexts:
        places = terms_of(RowInput(compile_context(context), compile_arms(tuple(arms))), BITS, ("ca",)).places
        values[places.ravel()] = rng.normal(size=places.size)
    return weights(values=values)


def one_score(held, context, arm) -> float:
    return float(read_scores(ask([ScoreRow(context, None, (arm,))], held).rows[0].scores)[0])


def test_an_unseen_value_scores_as_if_it_were_not_there():
    """Of a category that was never learnt nothing is known; all that is known of the rest still counts."""
    arm = Arm("sku-1", {"kind": "shoe"})
    held = learnt_from([{"device": "ios", "hour": 3.0}], [arm])
    known = one_score(held, {"hour": 3.0}, arm)
    assert known != 0.0
    assert one_score(held, {"hour": 3.0, "device": "never seen"}, arm) == known
    assert one_score(held, {"hour": 3.0, "unheard of": 7.0}, arm) == known


def test_a_new_arm_scores_by_the_features_that_it_shares():
    """Two arms that were never shown: alike where they share what was learnt, apart where they do not."""
    held = learnt_from([{"device": "ios"}], [Arm("sku-1", {"kind": "shoe"}), Arm("sku-2", {"kind": "hat"})])
    context = {"device": "ios"}
    new, newer = (one_score(held, context, Arm(name, {"kind": "shoe"})) for name in ("new-1", "new-2"))
    assert new == newer != 0.0
    assert one_score(held, context, Arm("new-1", {"kind": "hat"})) != new
    nothing = Arm("new-1", {"kind": "never seen"})
    alone = one_score(held, context, Arm("new-1"))
    assert one_score(held, context, nothing) == alone
    assert alone == one_score(held, context, Arm("new-2"))  # the context's own terms and the constant
