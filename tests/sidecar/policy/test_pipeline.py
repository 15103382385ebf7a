"""The pipeline: the same bits single, batched, among other arms, and again from the logged event."""

from __future__ import annotations

import random
import tracemalloc

import msgspec
import numpy as np
import pytest

from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.arm_features import Levels, column_of
from sidecar.contracts.calibration import Calibration, curve_of
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.errors import BadEvent, BadExploration, NothingToScore, UnknownCatalogue
from sidecar.contracts.events import arms_of
from sidecar.contracts.weights import Weights, WeightsHeader, weights_of
from sidecar.contracts.wire import ScoreRequest, ScoreRow
from sidecar.policy import model
from sidecar.policy.adapters import RowInput, read_pmf, read_scores
from sidecar.policy.arm_table import compile_arms
from sidecar.policy.calibration import expected_of, ranks_of
from sidecar.policy.features import compile_context
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score, score_event, scores_of_event
from tests.parity.generated import AWKWARD_NAMES, decision, features

EXPLORATIONS = (Exploration(), Exploration("uniform"))
CALIBRATION = Calibration(
    curve_of(np.array([-2.0, 1.0, 2.0]), np.array([0.0, 0.1, 0.4])),
    curve_of(np.array([-3.0, 0.0, 3.0]), np.array([0.2, 0.5, 1.0])),
    examples=1024,
)


def _weights(interactions: tuple[str, ...]) -> Weights:
    header = WeightsHeader(
        version=9,
        bits=12,
        interactions=interactions,
        positions=("5-0",),
        trained_until_ms=77,
        epoch=1,
        examples=3,
    )
    return weights_of(header, np.random.default_rng(1).normal(size=4096).astype(np.float32))


def _catalogue(rng: random.Random, count: int = 30):
    """Arms with from no to eight features, so that the table is padded."""
    return catalogue_of(tuple(Arm(f"sku-{n}", features(rng, AWKWARD_NAMES)) for n in range(count)))


def _ask(rows: list[ScoreRow], catalogue, weights, tables=None):
    request = ScoreRequest(tuple(rows), EXPLORATIONS, catalogue.version, catalogue.arms)
    return score(request, weights, tables or ArmTables()).rows


@pytest.mark.parametrize("interactions", [(), ("ca",), ("ca", "aa", "cc")], ids="+".join)
def test_an_arms_score_does_not_depend_on_its_company(interactions):
    """Alone, in a subset, in another order, in the whole catalogue, in a batch, or given: the same bits."""
    rng = random.Random(4)
    catalogue, weights = _catalogue(rng), _weights(interactions)
    contexts = [features(rng, AWKWARD_NAMES) for _ in range(20)]
    batch = _ask([ScoreRow(context) for context in contexts], catalogue, weights)
    for context, row in zip(contexts, batch, strict=True):
        whole = read_scores(row.scores)
        assert _ask([ScoreRow(context)], catalogue, weights)[0] == row
        places = tuple(rng.sample(range(30), rng.randint(1, 30)))
        given = tuple(catalogue.arms[place] for place in places)
        subset, apart = _ask([ScoreRow(context, places), ScoreRow(context, None, given)], catalogue, weights)
        assert np.array_equal(read_scores(subset.scores), whole[list(places)])
        assert subset == apart
        alone = _ask([ScoreRow(context, (places[0],))], catalogue, weights)[0]
        assert read_scores(alone.scores)[0] == whole[places[0]]


@pytest.mark.parametrize("interactions", [(), ("ca",), ("ca", "aa", "cc")], ids="+".join)
def test_terms_add_up_to_the_scores(interactions):
    """Few and many features, one arm and thirty, with and without a context: the same but for rounding."""
    rng, weights = random.Random(5), _weights(interactions)
    table = compile_arms(_catalogue(rng).arms)
    contexts = [{}, *[features(rng, AWKWARD_NAMES) for _ in range(40)]]
    rows = [RowInput(compile_context(context), table) for context in contexts]
    rows += [RowInput(row.context, table.at([rng.randrange(30)])) for row in rows]
    rng.shuffle(rows)
    for row in rows:
        terms = model.terms_of(row, weights.header.bits, interactions)
        assert terms.places.size == model.count_terms(row, interactions)
        found, wanted = model.scores_of_terms(terms, weights), model.scores_of(row, weights)
        sizes = np.abs(weights.values[terms.places] * terms.values).sum(axis=1)
        assert (np.abs(found - wanted) <= 1e-7 * (1.0 + sizes)).all()


@pytest.mark.parametrize("interactions", [("ca",), ("ca", "aa", "cc")], ids="+".join)
def test_one_wide_arm_among_thousands_costs_what_it_weighs(interactions):
    """No padding to gigabytes, and the same bits as apart: a small body must not stop the container."""
    weights = _weights(interactions)
    context = {f"c{n}": n / 7 for n in range(256)}
    wide = Arm("wide", {f"f{n}": n / 9 for n in range(256)})
    plain = [Arm(f"a{n}", {"price": float(n)} if n % 3 else {}) for n in range(4000)]
    arms = catalogue_of((*plain[:2000], wide, *plain[2000:]))

    tracemalloc.start()
    (together,) = _ask([ScoreRow(context)], arms, weights)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 100 * 2**20
    apart = [_ask([ScoreRow(context, (n,))], arms, weights)[0].scores for n in (0, 1, 1999, 2000, 2001, 4000)]
    whole = read_scores(together.scores)
    assert b"".join(apart) == whole[[0, 1, 1999, 2000, 2001, 4000]].tobytes()


def test_the_sign_of_a_zero_does_not_depend_on_padding():
    """Weights of -0.0 score 0.0 beside a wider arm and alone: the log is compared bit for bit."""
    weights = weights_of(_weights(()).header, np.full(4096, -0.0, np.float32))
    arms = catalogue_of((Arm("plain"), Arm("wide", {"price": 1.0})))

    beside, alone = _ask([ScoreRow({}), ScoreRow({}, None, arms.arms[:1])], arms, weights)

    assert beside.scores[:4] == alone.scores


def test_the_order_of_features_does_not_matter():
    """A client's JSON in another order is the same context, to the last bit."""
    rng = random.Random(5)
    catalogue, weights = _catalogue(rng), _weights(("ca", "aa", "cc"))
    context = {name: float(n) / 7 for n, name in enumerate(AWKWARD_NAMES)}
    turned = dict(reversed(context.items()))
    arms = tuple(Arm(arm.id, dict(reversed(arm.features.items()))) for arm in catalogue.arms)
    one, other = ScoreRow(context, None, catalogue.arms), ScoreRow(turned, None, arms)
    first, second = _ask([one, other], catalogue, weights)
    assert first == second


@pytest.mark.parametrize("given", [False, True], ids=["catalogue", "given"])
@pytest.mark.parametrize("subset", [False, True], ids=["all", "subset"])
def test_a_logged_event_scores_again_to_the_same_bits(given, subset):
    """Replay equals serving: with the whole catalogue, a subset, or arms with features of their own."""
    rng = random.Random(6)
    catalogue, weights, tables = _catalogue(rng), _weights(("ca",)), ArmTables()
    context = features(rng, AWKWARD_NAMES)
    places = rng.sample(range(30), 7) if subset else list(range(30))
    extra = {catalogue.arms[places[0]].id: {"price": 3.3}} if given else {}
    arms = tuple(
        Arm(arm.id, {**arm.features, **extra.get(arm.id, {})})
        for arm in (catalogue.arms[place] for place in places)
    )
    row = ScoreRow(context, tuple(places) if subset else None, arms if given else ())
    served = _ask([row], catalogue, weights)[0]
    event = msgspec.structs.replace(
        decision(rng, context, catalogue.arms),
        arms=tuple(arm.id for arm in arms) if subset else (),
        given_arms=extra,
        exploration=EXPLORATIONS[0],
    )
    scores, pmf = score_event(event, catalogue, weights, tables)
    assert np.array_equal(scores, read_scores(served.scores))
    assert np.array_equal(pmf, read_pmf(served.pmf))


@pytest.mark.parametrize("interactions", [(), ("ca",), ("ca", "aa", "cc")], ids="+".join)
@pytest.mark.parametrize("given", [False, True], ids=["catalogue", "given"])
@pytest.mark.parametrize("subset", [False, True], ids=["all", "subset"])
def test_features_of_single_arms_score_as_if_the_arms_had_them(interactions, given, subset):
    """New names and covered ones, values and gaps: served and replayed bit for bit, and rightly."""
    rng = random.Random(8)
    catalogue, weights, tables = _catalogue(rng), _weights(interactions), ArmTables()
    context = features(rng, AWKWARD_NAMES)
    places = rng.sample(range(30), 7) if subset else list(range(30))
    extra = {catalogue.arms[places[0]].id: {"fresh": 3.3}} if given else {}
    columns = {
        name: column_of([None if rng.random() < 0.3 else value(rng) for _ in places])
        for name, value in {
            AWKWARD_NAMES[0]: lambda rng: rng.uniform(-5.0, 5.0),
            AWKWARD_NAMES[1]: lambda rng: rng.choice(("red", "blue")),
            "fresh": lambda rng: rng.choice((True, False)),
            "zero": lambda _: 0.0,
        }.items()
    }
    event = msgspec.structs.replace(
        decision(rng, context, catalogue.arms),
        arms=tuple(catalogue.arms[place].id for place in places) if subset else (),
        given_arms=extra,
        arm_features=columns,
        exploration=EXPLORATIONS[0],
    )
    own = arms_of(msgspec.structs.replace(event, arm_features={}), catalogue)
    row = ScoreRow(context, tuple(places) if subset else None, own if given else (), arm_features=columns)

    served, beside = _ask([row, ScoreRow(context)], catalogue, weights)
    merged = _ask([ScoreRow(context, None, arms_of(event, catalogue))], catalogue, weights)[0]
    scores, pmf = score_event(event, catalogue, weights, tables)

    assert np.array_equal(scores, read_scores(served.scores))
    assert np.array_equal(pmf, read_pmf(served.pmf))
    assert read_scores(served.scores) == pytest.approx(read_scores(merged.scores), rel=1e-5, abs=1e-5)
    assert beside == _ask([ScoreRow(context)], catalogue, weights)[0]


def test_without_weights_every_arm_is_alike_and_the_answer_says_so():
    """Cold: scores zero, pmf uniform, version 0."""
    catalogue = _catalogue(random.Random(1), 4)
    answer = score(
        ScoreRequest((ScoreRow({}),), EXPLORATIONS, catalogue.version, catalogue.arms), None, ArmTables()
    )
    assert (answer.cold, answer.model_version) == (True, 0)
    assert read_scores(answer.rows[0].scores).tolist() == [0.0] * 4
    assert read_pmf(answer.rows[0].pmf).tolist() == pytest.approx([0.25] * 4, abs=1e-15)


def test_the_answer_names_its_weights():
    """Version and trained-until are those of the weights."""
    catalogue = _catalogue(random.Random(1), 2)
    request = ScoreRequest((), EXPLORATIONS, catalogue.version, catalogue.arms)
    answer = score(request, _weights(()), ArmTables())
    assert (answer.model_version, answer.trained_until_ms, answer.cold) == (9, 77, False)


def test_a_catalogue_is_sent_once():
    """After the first request its version is enough; a catalogue that was never sent is asked for."""
    catalogue, tables = _catalogue(random.Random(2)), ArmTables()
    bare = ScoreRequest((ScoreRow({}),), EXPLORATIONS, catalogue.version)
    with pytest.raises(UnknownCatalogue, match=catalogue.version):
        score(bare, None, tables)
    first = _ask([ScoreRow({})], catalogue, None, tables)
    assert score(bare, None, tables).rows == first


def test_held_catalogues_are_bounded_and_the_least_used_goes():
    """With room for two, the one used longest ago is forgotten."""
    tables = ArmTables(capacity=2)
    for version in ("one", "two"):
        tables.put(version, (Arm("x"),))
    tables.get("one")
    tables.put("three", (Arm("x"),))
    assert ("one" in tables, "two" in tables, "three" in tables) == (True, False, True)


def test_given_arms_need_no_catalogue():
    """A request whose rows bring all their arms is answered without one."""
    request = ScoreRequest((ScoreRow({}, None, (Arm("x"), Arm("y"))),), EXPLORATIONS, "never sent")
    assert len(read_scores(score(request, None, ArmTables()).rows[0].scores)) == 2


@pytest.mark.parametrize(
    ("row", "error", "complaint"),
    [
        (ScoreRow({}, ()), NothingToScore, "no arm"),
        (ScoreRow({}, (0, 30)), BadEvent, "legal are 0 to 29"),
        (ScoreRow({}, (-1,)), BadEvent, "legal are 0 to 29"),
        (ScoreRow({}, exploration=2), BadEvent, "exploration 2"),
        (ScoreRow({"hour": float("nan")}), BadEvent, "'hour' is nan"),
        (ScoreRow({"hour": float("inf")}), BadEvent, "'hour' is inf"),
        (ScoreRow({"hour": 1e10}), BadEvent, r"legal are -1e\+09 to 1e\+09"),
        (ScoreRow({}, None, (Arm("x", {"price": float("nan")}),)), BadEvent, "'price' is nan"),
        (ScoreRow({}, (1,), arm_features={"x": b"12345678"}), BadEvent, "8 bytes for 1 arms"),
        (ScoreRow({}, (1,), arm_features={"x": Levels((), b"\1")}), BadEvent, "legal are 0 to 0"),
        (ScoreRow({}, (1,), arm_features={"x": column_of([1e10])}), BadEvent, "'x' of an arm is beyond 1e"),
        (ScoreRow({}, (1,), arm_features={"x": Levels((1e10,), b"\1")}), BadEvent, "'x' is 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(row, error, complaint):
    """The message says what was wrong, which value, and what is legal."""
    with pytest.raises(error, match=complaint):
        _ask([row], _catalogue(random.Random(3)), _weights(("ca",)))


def test_an_imported_decision_has_scores_but_no_pmf():
    """Of the logging policy only the propensity of the shown arm is known."""
    rng = random.Random(8)
    catalogue = _catalogue(rng)
    event = msgspec.structs.replace(
        decision(rng, {"hour": 1.0}, catalogue.arms), exploration=Exploration("logged")
    )
    assert len(scores_of_event(event, catalogue, _weights(("ca",)), ArmTables())) == 30
    with pytest.raises(BadExploration, match="logged"):
        score_event(event, catalogue, _weights(("ca",)), ArmTables())


def test_another_catalogue_than_the_events_is_refused():
    """Scores under other arms than those that were eligible would be nobody's."""
    rng = random.Random(8)
    event = decision(rng, {}, _catalogue(rng).arms)
    with pytest.raises(BadEvent, match="was made with catalogue"):
        score_event(event, _catalogue(rng, 3), None, ArmTables())


def test_the_columns_say_what_the_scores_mean():
    """Asked for, a row has its expectation and its rank for every arm, whatever is beside it; scores and pmf
    are as without."""
    rng = random.Random(8)
    catalogue, plain = _catalogue(rng), _weights(("ca",))
    weights = Weights(msgspec.structs.replace(plain.header, calibration=CALIBRATION), plain.values)
    rows = [ScoreRow(features(rng, AWKWARD_NAMES)), ScoreRow({}, (3, 1)), ScoreRow({}, None, (Arm("new"),))]
    asked = ScoreRequest(tuple(rows), EXPLORATIONS, catalogue.version, catalogue.arms, calibrated=True)
    told = score(asked, weights, ArmTables()).rows
    for row, alone in zip(told, _ask(rows, catalogue, weights), strict=True):
        scores = read_scores(row.scores)
        assert (row.scores, row.pmf, b"", b"") == (alone.scores, alone.pmf, alone.expected, alone.ranks)
        assert row.expected == expected_of(scores, CALIBRATION).tobytes()
        assert row.ranks == ranks_of(scores, CALIBRATION).tobytes()
    single = score(msgspec.structs.replace(asked, rows=(rows[1],)), weights, ArmTables()).rows
    assert single == (told[1],)


@pytest.mark.parametrize("known", [None, msgspec.UNSET])
def test_without_a_calibration_the_columns_are_empty(known):
    """Too few examples yet, or a record of before: the scores are served all the same; cold ones too."""
    catalogue, plain = _catalogue(random.Random(8)), _weights(())
    asked = ScoreRequest((ScoreRow({}),), EXPLORATIONS, catalogue.version, catalogue.arms, calibrated=True)
    for weights in (Weights(msgspec.structs.replace(plain.header, calibration=known), plain.values), None):
        (row,) = score(asked, weights, ArmTables()).rows
        assert (row.expected, row.ranks) == (b"", b"")
        assert len(read_scores(row.scores)) == 30
