"""`sidearm score`: a Parquet file through the pipeline that serves."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from offline_eval.bulk_scoring import BATCH_ROWS, Scoring, score_file
from offline_eval.errors import BadInput
from offline_eval.score_cli import score_command
from sidecar.contracts import keys
from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.catalogue import catalogue_of, encode_arms
from sidecar.contracts.roster import Model, Roster, encode_models
from sidecar.contracts.weights import WeightsHeader, encode_weights, weights_of
from sidecar.contracts.wire import ScoreRequest, ScoreRow
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score

ARMS = (Arm("hat", {"price": 2.0}), Arm("shoe", {"price": 5.0, "new": True}), Arm("sock"))
CATALOGUE = catalogue_of(ARMS)
EPSILON = Exploration(epsilon=0.2)

app = typer.Typer()
app.command()(score_command)


def some_weights(version=7):
    header = WeightsHeader(
        version=version, bits=12, interactions=("ca",), positions=("5-0",), trained_until_ms=1, epoch=1,
        examples=3,
    )  # fmt: skip
    return weights_of(header, np.random.default_rng(1).normal(size=4096).astype(np.float32))


SCORING = Scoring(CATALOGUE, EPSILON, some_weights())


def scored(tmp_path, frame: pl.DataFrame, scoring=SCORING) -> pl.DataFrame:
    frame.write_parquet(tmp_path / "in.parquet")
    assert score_file(tmp_path / "in.parquet", tmp_path / "out.parquet", scoring).rows == len(frame)
    return pl.read_parquet(tmp_path / "out.parquet")


def expected_of(row: ScoreRow):
    request = ScoreRequest((row,), (EPSILON,), CATALOGUE.version, ARMS)
    (answer,) = score(request, SCORING.weights, ArmTables()).rows
    return np.frombuffer(answer.scores, "<f4").tolist(), np.frombuffer(answer.pmf, "<f8").tolist()


def test_every_row_scores_as_it_would_be_served(tmp_path):
    """More than a batch of them: the same rows in the same order, the same bits, all columns kept."""
    n = BATCH_ROWS + 100
    frame = pl.DataFrame(
        {
            "unit_id": [f"u-{k}" for k in range(n)],
            "hour": [k % 24 for k in range(n)],
            "device": ["ios" if k % 3 else None for k in range(n)],
            "returning": [k % 2 == 0 for k in range(n)],
        }
    )
    found = scored(tmp_path, frame)

    assert found.select(frame.columns).equals(frame)
    assert found["scored_version"].unique().to_list() == [7]
    for k in (0, 1, 2, BATCH_ROWS - 1, BATCH_ROWS, n - 1):
        context = {"hour": float(k % 24), "returning": k % 2 == 0} | ({"device": "ios"} if k % 3 else {})
        scores, pmf = expected_of(ScoreRow(context))
        row = found.row(k, named=True)
        assert (row["scored_scores"], row["scored_pmf"]) == (scores, pmf)
        assert row["scored_arm"] == ARMS[int(np.argmax(scores))].id
        assert row["scored_arms"] == ["hat", "shoe", "sock"]


def test_arms_and_context_of_a_decision_log(tmp_path):
    """The log's own columns: JSON in `context`, the eligible arms in `arms`; a new one has its id only."""
    frame = pl.DataFrame(
        {
            "context": [json.dumps({"hour": 9.0}), json.dumps({"hour": 10})],
            "arms": [["sock", "hat"], ["new", "shoe"]],
            "reward": [1.0, 0.0],
        }
    )
    found = scored(tmp_path, frame)

    assert found["scored_arms"].to_list() == frame["arms"].to_list()
    assert found["scored_scores"].to_list() == [
        expected_of(ScoreRow({"hour": 9.0}, (2, 0)))[0],
        expected_of(ScoreRow({"hour": 10.0}, None, (Arm("new"), ARMS[1])))[0],
    ]


def test_without_weights_all_arms_are_alike(tmp_path):
    """Cold, and the version says so; an empty table stays one."""
    cold = SCORING._replace(weights=None)
    found = scored(tmp_path, pl.DataFrame({"hour": [1]}), cold)
    assert (found["scored_pmf"].to_list(), found["scored_version"].to_list()) == ([[1 / 3] * 3], [0])
    assert scored(tmp_path, pl.DataFrame({"hour": []}, schema={"hour": pl.Int64}), cold).is_empty()


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"at": pl.Series([0]).cast(pl.Datetime)}, "column 'at'"),
        ({"arms": ["hat"]}, "column 'arms'"),
        ({"arms": [[]]}, "no arm is eligible"),
        ({"context": ["[1]"]}, "row 0"),
        ({"hour": [float("nan")]}, "row 0: feature 'hour'"),
        ({"hour": [1.0, 2.0, 1e30, 1e40]}, "row 2: feature 'hour'"),
        ({"blob": [b"x"]}, "column 'blob'"),
        ({"arms": [["hat"], ["hat", "hat"]]}, "row 1: an arm"),
        ({"arms": [["hat", None]]}, "row 0: an arm"),
        ({"scored_arm": ["x"]}, "scored before"),
    ],
)
def test_what_cannot_be_scored_is_named(tmp_path, columns, told):
    """The column or the row; nothing is left behind."""
    frame = pl.DataFrame(
        columns, schema_overrides={"arms": pl.List(pl.String)} if columns.get("arms") == [[]] else {}
    )
    with pytest.raises(BadInput, match=told):
        scored(tmp_path, frame)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet"]


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [half, lambda content: content[:-3], lambda _: b"", lambda _: b"hello"])
def test_no_whole_parquet_file_is_refused(tmp_path, damage):
    """Half-written, cut, empty, of another kind: with its name, and nothing is left behind."""
    file = tmp_path / "in.parquet"
    pl.DataFrame({"hour": [1.0]}).write_parquet(file)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(BadInput, match=r"in\.parquet"):
        score_file(file, tmp_path / "out.parquet", SCORING)
    assert list(tmp_path.iterdir()) == [file]


def test_places_that_will_not_do_are_named(tmp_path):
    """No such file, no such folder, and the table itself, which stays as it is."""
    file = tmp_path / "in.parquet"
    pl.DataFrame({"hour": [1.0]}).write_parquet(file)
    before = file.read_bytes()
    for source, target, told in [
        (tmp_path / "nowhere.parquet", file, "no file"),
        (tmp_path, file, "no file"),
        (file, tmp_path / "nowhere" / "out.parquet", "no folder"),
        (file, tmp_path / ".." / tmp_path.name / "in.parquet", "itself"),
    ]:
        with pytest.raises(BadInput, match=told):
            score_file(source, target, SCORING)
    assert file.read_bytes() == before


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "app"
    made.mkdir()
    (made / "app.toml").write_text('name = "hats"\n[exploration]\nepsilon = 0.2\n')
    (made / "arms.json").write_text(json.dumps([{"id": arm.id, "features": arm.features} for arm in ARMS]))
    return made


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_scores_with_what_serves(tmp_path, folder, store, store_url, monkeypatch):
    """The store's catalogue, its newest weights, or those that are pinned."""
    monkeypatch.setenv("REDIS_URL", store_url)
    file = tmp_path / "some.parquet"
    pl.DataFrame({"hour": [1.0, 2.0]}).write_parquet(file)
    live = catalogue_of((*ARMS, Arm("belt")))
    store.hset(keys.catalogues("hats"), live.version, encode_arms(live.arms))
    store.hset(
        keys.arms_now("hats"), mapping={"version": live.version, "revision": 2, "at_ms": 1, "reason": ""}
    )
    store.hset(keys.weights("hats"), mapping={"record": encode_weights(some_weights()), "version": 7})

    first = run(file, folder)
    store.hset(keys.model_records("hats"), "3", encode_weights(some_weights(3)))
    store.hset(keys.pin("hats"), "version", "3")
    pinned = run(file, folder, "--out", tmp_path / "pinned.parquet")

    assert first.exit_code == pinned.exit_code == 0, first.output
    found = pq.read_table(tmp_path / "some.scored.parquet").to_pylist()
    assert (found[0]["scored_version"], found[0]["scored_arms"]) == (7, ["hat", "shoe", "sock", "belt"])
    assert pq.read_table(tmp_path / "pinned.parquet")["scored_version"].to_pylist() == [3, 3]


def test_the_champion_scores_or_the_model_that_is_named(tmp_path, folder, store, store_url, monkeypatch):
    """With the version and the exploration that it was deployed with, and the control share of decisions."""
    monkeypatch.setenv("REDIS_URL", store_url)
    file = tmp_path / "some.parquet"
    pl.DataFrame({"hour": [1.0]}).write_parquet(file)
    models = (
        Model(name="fixed", role="champion", version=3),
        Model(name="bold", role="challenger", exploration=Exploration("uniform", control_share=0.5)),
        Model(name="gone", role="shadow", version=4),
        Model(name="ears", role="decoy"),
        Model(name="far", role="shadow", container="other"),
    )
    store.hset(keys.roster("hats"), mapping={"models": encode_models(Roster(models)), "revision": 1})
    store.hset(keys.weights("hats"), mapping={"record": encode_weights(some_weights()), "version": 7})
    store.hset(keys.deployed("hats"), "3", encode_weights(some_weights(3)))

    assert run(file, folder).exit_code == 0
    bold = run(file, folder, "--model", "bold", "--out", tmp_path / "bold.parquet")
    assert bold.exit_code == 0, bold.output

    assert pl.read_parquet(tmp_path / "some.scored.parquet")["scored_version"].to_list() == [3]
    found = pl.read_parquet(tmp_path / "bold.parquet")
    assert (found["scored_version"].to_list(), found["scored_pmf"].to_list()) == ([7], [[1 / 3] * 3])
    for name, told in [("nobody", "no model"), ("gone", "version 4"), ("ears", "decoy"), ("far", "'other'")]:
        refused = run(file, folder, "--model", name)
        assert refused.exit_code != 0
        assert told in str(refused.exception)
    assert run(file, folder, "--model", "bold", "--weights", "x").exit_code == 2


def test_the_command_scores_with_a_file_of_weights(tmp_path, folder):
    """No store is needed: the arms are those of the application's file."""
    file, record = tmp_path / "some.parquet", tmp_path / "weights.bin"
    pl.DataFrame({"hour": [1.0]}).write_parquet(file)
    record.write_bytes(encode_weights(some_weights()))
    result = run(file, folder, "--weights", record)
    assert result.exit_code == 0, result.output
    assert "1 row scored with version 7" in result.output
    assert "features: hour" in result.output
