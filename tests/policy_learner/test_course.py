"""The line of what models earned: a point now and then, bounded, and held up by nothing."""

from __future__ import annotations

from policy_learner.course import write_point
from policy_learner.loop import step
from policy_learner.report import report
from sidecar.contracts import keys
from sidecar.contracts.contests import ModelFigures, Shown
from sidecar.contracts.course import EVERY_S, LEARNER, MOST_POINTS, Standing, decode_course
from sidecar.contracts.learner_report import Progressive, WindowFigures
from tests.policy_learner.world import World

FIGURES = WindowFigures(examples=10, auc=0.75, snips=0.5, snips_error=0.1)


def course(store):
    return decode_course(store.lrange(keys.models_course("world"), 0, -1))


def test_a_learner_writes_a_point_every_quarter_of_a_minute(store, data_folder):
    """Of a model that scores alone under no name; nothing as long as nothing was learnt."""
    world = World(store, data_folder, 1)
    learner = world.learner()
    for _ in range(2):
        world.now_s += EVERY_S
        report(learner)
    assert course(store) == []
    world.shop(30)
    step(learner)
    for _ in range(6):
        world.now_s += EVERY_S / 3
        report(learner)
    first, last = course(store)
    assert first.at_ms <= last.at_ms
    assert last.models[LEARNER].examples == 30


def test_the_line_is_bounded_and_what_is_foreign_is_left_out(store):
    """Two hours, oldest first; of every model that was scored."""
    shown = Shown((ModelFigures("bold", 3, FIGURES), ModelFigures("new", 1, WindowFigures())))
    for n in range(MOST_POINTS + 3):
        write_point(store, "world", n, Progressive(by_count=FIGURES), shown)
    store.lset(keys.models_course("world"), 1, b"\xff no point")
    points = course(store)
    assert (len(points), points[0].at_ms, points[-1].at_ms) == (MOST_POINTS - 1, 3, MOST_POINTS + 2)
    assert points[-1].models == {name: Standing(10, 0.5, 0.1, 0.75) for name in (LEARNER, "bold")}


def test_a_key_of_another_kind_holds_up_no_report(store):
    store.set(keys.models_course("world"), "no list")
    write_point(store, "world", 1, Progressive(by_count=FIGURES), Shown())
    assert store.get(keys.models_course("world")) == b"no list"
