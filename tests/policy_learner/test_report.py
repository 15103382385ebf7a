"""The figures of the status in the moments in which they matter."""

from __future__ import annotations

import io

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console

from decision_service.cli.model_figures import models_table, tables
from policy_learner import loop
from policy_learner.archive import chain
from policy_learner.loop import step
from policy_learner.metrics import LearnerMetrics
from policy_learner.report import report
from policy_learner.run import _turn
from policy_learner.settings import LearnerSettings
from policy_learner.status import read as read_status
from sidecar.contracts.contests import ModelFigures, Shown
from sidecar.contracts.learner_report import Judgement, Progressive, decode
from tests.policy_learner.world import HORIZON_MS, World


def told(world, learner):
    world.now_s += 10
    report(learner)
    return read_status(world.client, "world")


def test_the_lag_counts_what_was_finalised_and_is_not_read_yet(store, data_folder):
    """A version has just been published; a backlog behind it is a lag all the same."""
    settings = LearnerSettings(publish_every_examples=1, read_batch=5)
    world = World(store, data_folder, 1, settings)
    learner = world.learner()
    world.move(-3_600_000)  # finalised long ago, by the store's clock
    world.shop(20)
    step(learner)
    assert world.weights().header.examples == 5
    assert told(world, learner).lag_ms > 3_000_000


def test_the_age_is_that_of_the_version_whoever_published_it(store, data_folder):
    """A learner that was started again and publishes nothing does not make the model young."""
    world = World(store, data_folder, 1)
    learner = world.learner()
    world.move(-3_600_000)
    world.shop(3)
    step(learner)
    assert world.weights() is not None
    world.move(3_600_000)
    assert 3_500_000 < told(world, world.learner()).age_ms < 3_700_000


class Stop:
    def wait(self, seconds):
        pass

    def is_set(self):
        return False


def test_a_full_disk_stays_in_the_status_until_a_file_was_written(store, data_folder, monkeypatch):
    """Between two attempts there are many steps in which nothing goes wrong."""
    world = World(store, data_folder, 1)
    learner = world.learner()
    write = chain._write

    def full(path, table):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chain, "_write", full)
    world.shop(5)
    step(learner)
    world.now_s += 31
    _turn(learner, Stop())
    _turn(learner, Stop())
    assert "No space left" in told(world, learner).last_error
    monkeypatch.setattr(chain, "_write", write)
    world.now_s += 31
    _turn(learner, Stop())
    assert told(world, learner).last_error == ""


def test_a_refused_version_is_not_judged_again_at_every_step(store, data_folder):
    """Neither the same weights, nor sooner than the next version would be due."""
    settings = LearnerSettings(publish_every_examples=3, gate_largest_weight=1e-9)
    world = World(store, data_folder, 1, settings)
    learner = world.learner()
    world.shop(5)
    for _ in range(10):
        loop.step(learner)
    assert learner.figures.gate_refusals == 1
    world.shop(5)
    for _ in range(10):
        loop.step(learner)
    assert learner.figures.gate_refusals == 2


@pytest.mark.parametrize("poison", [False, True])
def test_a_learner_that_starts_at_the_memory_limit_makes_room(store, data_folder, poison):
    """It is the one that frees memory: it must start, go on past poison, and say that it lives."""
    settings = LearnerSettings(
        publish_every_examples=1, checkpoint_every_s=1, archive_every_s=1, trim_every_s=1
    )
    world = World(store, data_folder, 1, settings)
    world.decide(20)
    if poison:
        world.decide(1, propensity=2.0)
    world.move(HORIZON_MS + 1)
    store.config_set("maxmemory", 1)
    try:
        learner = world.learner()
        for _ in range(4):
            world.now_s += 2
            step(learner)
        assert told(world, learner).examples == 20
        assert store.xlen(world.partitions[0].examples) == 1
    finally:
        store.config_set("maxmemory", 0)
    world.now_s += 2
    step(learner)
    assert store.xlen(world.partitions[0].dead) == poison


def test_how_good_the_model_is_can_be_read_asked_and_scraped(store, data_folder):
    """Progressive metrics, gate and refusals: in the status, in tables, for Prometheus."""
    settings = LearnerSettings(publish_every_examples=1, gate_least_examples=50, gate_window_examples=200)
    world, metrics = World(store, data_folder, 1, settings), LearnerMetrics(lambda: 0.0)
    learner = world.learner()
    learner.deps = learner.deps._replace(show=metrics.show)
    for _ in range(5):
        world.shop(60)
        while step(learner):
            pass
    learner.gatekeeper.note(
        msgspec.structs.replace(learner.gatekeeper.latest.verdict, passed=False, reason="too bad"), 77, 300, 1
    )
    status = told(world, learner)
    progressive = decode(status.progressive, Progressive)
    assert progressive.by_count.examples == progressive.by_time.examples == 300
    assert 0.0 <= progressive.by_count.auc <= 1.0
    assert progressive.by_count.snips_error > 0.0
    assert {one.against for one in decode(status.gate, Judgement).verdict.comparisons} >= {"last good"}
    assert [one.version for one in decode(status.refusals, tuple[Judgement, ...])] == [77]

    registry = CollectorRegistry()
    registry.register(metrics)
    scraped = generate_latest(registry).decode()
    assert 'sidearm_learner_progressive_examples{window="by_count"} 300.0' in scraped
    assert 'sidearm_learner_gate_difference{against="last good",measure="auc"}' in scraped
    assert "sidearm_learner_gate_refusals_total 0.0" in scraped
    both = ModelFigures("bold", 7, progressive.by_count, progressive.by_time)
    metrics.show(status, Shown((both,)))
    scraped = generate_latest(registry).decode()
    assert 'sidearm_model_progressive_examples{model="bold",window="by_time"} 300.0' in scraped
    assert 'sidearm_model_progressive_snips{model="bold",window="by_count"}' in scraped

    console = Console(record=True, width=200, file=io.StringIO())
    fields = {name: str(value) for name, value in msgspec.structs.asdict(status).items()}
    for table in (*tables(fields), models_table([both])):
        console.print(table)
    shown = console.export_text()
    for words in (
        "bold",
        "10 minutes",
        "latest 10 minutes",
        "AUC",
        "SNIPS",
        "gate: REFUSED",
        "(last good)",
        "too bad",
    ):
        assert words in shown
    assert tables({"progressive": "{", "gate": "", "refusals": ""}) == []


def test_a_learner_that_stands_still_is_seen_though_its_figures_are_not_told_anew():
    """Where the store, or a replica that it waits for, does not answer: what was told last grows old."""
    now = 10.0
    metrics, registry = LearnerMetrics(lambda: now), CollectorRegistry()
    registry.register(metrics)
    now = 15.0
    assert registry.get_sample_value("sidearm_learner_silent_seconds") == 5.0
    assert registry.get_sample_value("sidearm_learner_version") is None
