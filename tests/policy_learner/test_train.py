"""``sidearm train``: what it is told, what it trains on, what it says, and what it leaves behind."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
import redis
from typer.testing import CliRunner

from decision_service.cli.main import root
from policy_learner.archive import cutting
from policy_learner.archive.compaction import compact_day
from policy_learner.errors import BadArchive, BadCheckpoint
from policy_learner.join.positions import START, order
from policy_learner.learning.trainer import Trainer, restated
from policy_learner.loop import drain, step
from policy_learner.rebase import offers, offline_figures
from policy_learner.rebase.base_training import bench_of, plan_of
from policy_learner.rebase.candidates import Candidate, Variant, best_of
from policy_learner.rebase.offline_figures import Window
from policy_learner.rebase.train_options import parse_span, parse_variants
from sidecar.contracts.application import ExplorationConfig
from sidecar.contracts.catalogue import encode_arms
from sidecar.contracts.errors import BadSettings, SidearmError
from sidecar.contracts.learner_report import WindowFigures
from sidecar.contracts.model_section import ModelConfig
from tests.policy_learner.logs import APP, DAYS, Archiver
from tests.policy_learner.rebase_world import checkpoints, job_of
from tests.policy_learner.world import ARMS, HORIZON_MS, World

TOML = """
name = "world"
partitions = 2
[reward]
horizon_s = 60
[exploration]
epsilon = 0.2
[model]
bits = 10
"""


@pytest.fixture
def world(store: redis.Redis, data_folder) -> World:
    return World(store, data_folder)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.toml").write_text(TOML)
    (tmp_path / "arms.json").write_bytes(encode_arms(ARMS))
    return tmp_path


def logged(world, count=200, parts=4):
    """Every third decision earns 1; all of it learnt and in the log.

    In parts, a horizon apart: what is finalised within a millisecond is not divided into older and newer.
    """
    learner = world.learner()
    for _ in range(parts):
        for event in world.decide(count // parts)[::3]:
            world.reward(event, 1.0)
        world.move(HORIZON_MS + 1)
        while step(learner):
            pass
    drain(learner, lambda: True)
    return learner


def run(world, folder, *options):
    arguments = ["train", str(folder), "--data", str(world.data.root), *options]
    return CliRunner().invoke(root(), arguments, env={"COLUMNS": "160"})


@pytest.mark.slow
def test_the_table_names_every_candidate_and_leaves_nothing_behind(world, folder):
    """Two epochs times two rates; evaluated by the other process; nothing offered, nothing written."""
    logged(world)
    result = run(world, folder, "--epochs", "1,2", "--learning-rates", "0.1,0.5")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    older, newer = map(int, re.search(r"on (\d+) rows .* on the (\d+) after", " ".join(lines)).groups())
    assert older + newer == 200
    shown = [line.split() for line in lines]
    found = [w for w in shown if len(w) > 3 and w[w[0] == "▶"].isdigit()]
    assert [w[1 + (w[0] == "▶") :][:2] for w in found] == [
        ["1", "0.1"],
        ["1", "0.5"],
        ["2", "0.1"],
        ["2", "0.5"],
    ]
    assert sum(w[0] == "▶" for w in found) == 1
    assert "not evaluated" not in result.output
    assert not (world.log / "models").exists()
    assert offers.read_offer(checkpoints(world)) is None


def test_the_chosen_row_is_offered_and_the_learner_takes_it_over(world, folder):
    """At another rate than app.toml's: the learner goes on at its own."""
    logged(world)
    options = (
        "--no-evaluation",
        "--hand-over",
        "--wait",
        "0",
        "--learning-rates",
        "0.1,0.9",
        "--choose",
        "2",
    )
    result = run(world, folder, *options)
    assert result.exit_code == 0, result.output
    assert "is offered" in result.output
    learner = world.learner()
    while step(learner):
        pass
    assert offers.read_outcome(checkpoints(world)).version == learner.progress.version
    assert run(world, folder, "--no-evaluation", "--choose", "2").exception is not None


def test_a_refused_base_is_said_with_exit_code_1(world, folder, monkeypatch):
    """The learner's own words."""
    logged(world)

    def refuse(where, base, wait_s):
        return offers.Outcome(offer=offers.Offer(base=base, at_ms=1), reason="gate: it would earn less")

    monkeypatch.setattr("policy_learner.rebase.handing_over.hand_over", refuse)
    result = run(world, folder, "--no-evaluation", "--hand-over")
    assert result.exit_code == 1
    assert "is refused: gate: it would earn less" in result.output


def test_what_is_compared_was_not_seen_before(world):
    """Rewards of pure chance are learnt by heart in thirty passes, and still not foreseen."""
    logged(world, 300)
    job = job_of(world, Variant(30, 0.5), newer_share=0.5)
    plan, bench = plan_of(job), bench_of(job, lambda rows: None)
    candidates = bench.candidates(job.variants)
    bench.train(candidates, plan.older)
    bench.test(candidates, plan.newer)
    (one,) = candidates
    older, newer = (sum(stretch.rows for stretch in part) for part in (plan.older, plan.newer))
    assert older + newer == 300
    assert one.tested.examples == newer
    assert 0.3 < one.tested.auc < 0.7
    assert one.before.weights.header.examples == 30 * older
    assert one.training.examples == 30 * older + newer


def test_the_parts_are_the_whole_log_and_follow_one_another(world):
    """Older, newer and newest share nothing and leave nothing out but what lies outside the window."""
    logged(world, 120)
    job = job_of(world)
    whole = plan_of(job)
    assert sum(one.rows for one in [*whole.older, *whole.newer, *whole.newest]) == 120
    middle = whole.newer[0].batch.first
    windowed = plan_of(job_of(world, span=parse_span("", str_of(order(middle)[0]))))
    assert not windowed.newest or windowed.last_ms < order(middle)[0]
    assert windowed.ends == whole.ends
    with pytest.raises(BadArchive, match="no decision of that time"):
        plan_of(job_of(world, span=parse_span("2001-01-01", "2001-01-02")))


def str_of(ms):
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def test_stretches_do_not_depend_on_the_files(tmp_path):
    """The same rows in many files, and compacted: the same batches in the same order."""
    archiver = Archiver(tmp_path, lanes=3)
    for day in range(3):
        archiver.write(day, files=4, rows=5)
    ends = cutting.ends(tmp_path, APP, 3)

    def cut():
        return cutting.cut(cutting.lanes(tmp_path, APP, [START] * 3, ends), 7)

    before = cut()
    assert sum(one.rows for one in before) == len(archiver.ids)
    firsts = [order(one.batch.first) for one in before]
    assert firsts == sorted(firsts)
    assert compact_day(archiver.folder, "decisions", DAYS[0].isoformat(), 1)
    assert cut() == before
    after = cutting.lanes(tmp_path, APP, [one.batch.last for one in before[:3]], ends)
    assert sum(map(len, after)) == len(archiver.ids) - sum(one.rows for one in before[:3])


def figures(snips, error, squared):
    return WindowFigures(examples=100, snips=snips, snips_error=error, squared_error=squared)


@pytest.mark.parametrize(
    ("seen", "best"),
    [
        ([figures(0.5, 0.01, 0.2), figures(0.2, 0.01, 0.1)], 0),  # earns more beyond doubt
        ([figures(0.5, 0.1, 0.2), figures(0.4, 0.1, 0.1)], 1),  # perhaps: then the loss decides
        ([WindowFigures(), figures(0.1, 0.1, 0.3)], 1),
        ([WindowFigures(), WindowFigures()], 0),
    ],
)
def test_the_best_earns_no_less_beyond_doubt_and_misses_least(seen, best):
    """See ``candidates.best_of``."""
    candidates = [Candidate(Variant(1, 0.1), None, tested=one) for one in seen]
    assert best_of(candidates) is candidates[best]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", "0"), "--learning-rates"),
        (("", "nan"), "--learning-rates"),
        (("1.5", ""), "--epochs"),
        (("0", ""), "--epochs"),
        (("one", ""), "--epochs"),
        (("1,2,3,4,5,6,7,8", "0.1,0.2,0.3,0.4,0.5"), "40 candidates"),
    ],
)
def test_other_candidates_are_refused(arguments, said):
    """By the option's name, with what is legal."""
    epochs, rates = arguments
    with pytest.raises(BadSettings, match=said):
        parse_variants(epochs or "1", rates, 0.5)


@pytest.mark.parametrize("span", [("soon", ""), ("", "2026-13-01"), ("2026-02-01", "2026-01-01")])
def test_other_times_are_refused(span):
    """No time, no date, an end before the beginning."""
    with pytest.raises(BadSettings, match=r"--from|--to"):
        parse_span(*span)


def test_days_count_back_from_the_end(world):
    """From --to where it is given."""
    assert parse_span("", "2026-01-31", days=3) == parse_span("2026-01-29", "2026-01-31")


def test_a_state_at_another_rate_is_one_at_ours_and_of_no_other_model():
    """Rates are given anew whenever a state is loaded; what else differs is refused."""
    state = Trainer(ModelConfig(bits=10, learning_rate=0.1)).serialize()
    Trainer.restore(ModelConfig(bits=10), restated(state, ModelConfig(bits=10)))
    with pytest.raises(BadCheckpoint, match="trainer state is of model"):
        restated(state, ModelConfig(bits=11))


def test_an_evaluation_that_cannot_be_had_is_said(tmp_path, monkeypatch):
    """Where its package is not installed, or its output is something else."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    found = offline_figures.evaluate(tmp_path, b"", ExplorationConfig(), Window(0, 1), tmp_path)
    assert found.verdict == "not evaluated: it said nothing"
    assert offline_figures.read(b"{}").verdict.startswith("not evaluated")


def test_a_log_that_is_not_there_is_one_line(world, folder):
    """As every refused input."""
    result = run(world, folder)
    assert isinstance(result.exception, SidearmError)
    assert "no decision of that time" in str(result.exception)
