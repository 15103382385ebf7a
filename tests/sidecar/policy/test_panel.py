"""A hundred models in one step have the bits of each alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sidecar.contracts.calibration import Calibration, curve_of
from sidecar.contracts.errors import PolicyError
from sidecar.contracts.weights import Weights, WeightsHeader
from sidecar.contracts.wire import ScoreRequest, ScoreRow
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.panel import panels_of
from sidecar.policy.pipeline import score
from tests.sidecar.policy.test_stacked import CATALOGUE, EXPLORATIONS, row

SHAPES = ((12, ()), (12, ("ca",)), (11, ("cc", "ca", "aa")))


def weights(version: int, bits: int, interactions: tuple[str, ...], calibrated: bool = False) -> Weights:
    rng = np.random.default_rng(version)
    points = np.linspace(-9.0, 9.0, 5, dtype=np.float32)
    curve = curve_of(points, np.linspace(0.0, 1.0, 5, dtype=np.float32) * (version % 7) / 7)
    header = WeightsHeader(
        version=version, bits=bits, interactions=interactions, positions=("0-0",), trained_until_ms=1,
        epoch=1, examples=9, calibration=Calibration(curve, curve, 9) if calibrated else None,
    )  # fmt: skip
    return Weights(header, rng.normal(size=1 << bits).astype(np.float32))


@pytest.mark.parametrize("n_models", [1, 2, 3, 100])
@pytest.mark.parametrize("n_rows", [1, 2, 40])
def test_each_model_of_a_panel_has_the_bits_that_it_has_alone(n_models: int, n_rows: int) -> None:
    """Whatever the rows, and however many bits and interactions there are among the models."""
    rng = random.Random(n_models * 1000 + n_rows)
    members = [weights(7 + i, *SHAPES[i % len(SHAPES)]) for i in range(n_models)]
    rows, tables = tuple(row(rng) for _ in range(n_rows)), ArmTables()
    tables.of(CATALOGUE)
    asked = ScoreRequest(rows, EXPLORATIONS, CATALOGUE.version, versions=tuple(range(7, 7 + n_models)))
    response = score(asked, None, tables, panels=panels_of(members))
    assert sorted(one.version for one in response.models) == list(asked.versions)
    for one in response.models:
        alone = score(asked, members[one.version - 7], tables)
        assert one.scores == b"".join(each.scores for each in alone.rows)


def test_one_wide_arm_among_many_does_not_widen_the_others() -> None:
    """In blocks, to the same bits: a request of some kilobytes must not take gigabytes."""
    from sidecar.contracts.application import Arm
    from sidecar.contracts.catalogue import catalogue_of

    wide = Arm("wide", {f"f{i}": float(i) for i in range(200)})
    shop = catalogue_of((*[Arm(f"a{i}", {"price": float(i)}) for i in range(600)], wide))
    members = [weights(version, 12, ("ca",)) for version in (1, 2, 3)]
    asked = ScoreRequest(
        (ScoreRow({f"c{i}": 1.0 for i in range(20)}),), EXPLORATIONS, shop.version, versions=(1, 2, 3)
    )
    tables = ArmTables()
    tables.of(shop)
    response = score(asked, None, tables, panels=panels_of(members))
    for one, alone in zip(response.models, members, strict=True):
        assert one.scores == score(asked, alone, tables).rows[0].scores


def test_what_scores_mean_is_said_of_each_version_by_itself() -> None:
    members = [weights(version, 12, ("ca",), calibrated=version != 2) for version in (1, 2, 3)]
    tables, rows = ArmTables(), (ScoreRow({"a": 1.0}), ScoreRow({}))
    tables.of(CATALOGUE)
    asked = ScoreRequest(rows, EXPLORATIONS, CATALOGUE.version, calibrated=True, versions=(1, 2, 3))
    for one, alone in zip(score(asked, None, tables, panels=panels_of(members)).models, members, strict=True):
        said = score(asked, alone, tables).rows
        assert one.expected == b"".join(each.expected for each in said)
        assert one.ranks == b"".join(each.ranks for each in said)
        assert bool(one.expected) == (one.version != 2)


def test_versions_that_are_not_held_say_nothing() -> None:
    """As models that have not answered: the others' answers come all the same."""
    tables = ArmTables()
    tables.of(CATALOGUE)
    panels = panels_of([weights(1, 12, ("ca",)), weights(2, 12, ("ca",))])
    asked = ScoreRequest((ScoreRow({}),), EXPLORATIONS, CATALOGUE.version, versions=(2, 3))
    assert [one.version for one in score(asked, None, tables, panels=panels).models] == [2]
    assert not score(asked, None, tables).models


def test_what_is_refused_for_one_model_is_refused_for_all() -> None:
    tables = ArmTables()
    tables.of(CATALOGUE)
    asked = ScoreRequest((ScoreRow({}, ()),), EXPLORATIONS, CATALOGUE.version, versions=(1,))
    with pytest.raises(PolicyError):
        score(asked, None, tables, panels=panels_of([weights(1, 12, ("ca",))]))
