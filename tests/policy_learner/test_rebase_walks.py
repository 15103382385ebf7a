"""Hand-overs wherever they fall: between deaths, trims and restarts; in every mode, shuffled, any options.

What must hold at the end: what was finalised after the last base was learnt once by a version after it, what
came before by none of them; and a restart and a replay come to the published bits.
"""

from __future__ import annotations

import random

import msgspec
import pytest

from policy_learner.archive import cutting
from policy_learner.archive.archive_reader import LogReader, versions
from policy_learner.join.positions import START, order
from policy_learner.learning.teaching import Effect
from policy_learner.loop import drain, step
from policy_learner.models.replay import replay
from policy_learner.rebase import offers, rebases
from policy_learner.rebase.candidates import Variant
from policy_learner.settings import LearnerSettings
from sidecar.contracts.model_section import ModelConfig
from tests.policy_learner.rebase_world import checkpoints, offer_base, train_base
from tests.policy_learner.world import World

OPTIONS = [
    ("wait", 1, {}),
    ("wait", 2, {"shuffle": 5, "learning_rate": 0.1}),
    ("wait", 2, {"cb_type": "dr", "optimizer": "sgd", "learning_rate": 1e-5, "power_t": 0.25}),
    ("wait", 2, {"optimizer": "ftrl", "cb_type": "ips"}),
    ("wait", 2, {"optimizer": "coin", "interactions": ("ca", "aa")}),
    ("assume", 2, {}),
    ("assume", 1, {"shuffle": 7}),
    ("earliest", 2, {"shuffle": 3, "optimizer": "sgd", "learning_rate": 1e-5}),
]


def world_of(store, data_folder, mode, partitions, options, **settings):
    chosen = LearnerSettings(publish_every_examples=1, archive_rows=1000, read_batch=9, **settings)
    world = World(store, data_folder, partitions=partitions, settings=chosen, mode=mode)
    model = msgspec.structs.replace(ModelConfig(bits=10), **options)
    world.application = msgspec.structs.replace(world.application, model=model)
    return world


def steps(learner):
    while step(learner):
        pass


def archived(world, learner):
    for _ in range(2):  # the timers have come, so what was just learnt is written
        world.now_s += 3600
        steps(learner)


def check_learnt_once(world):
    """Every effect after the last base lies in one batch of a version from it on, none before it in any."""
    entries = list(versions(world.log, "world"))
    begun = max(place for place, entry in enumerate(entries) if entry.base)
    state = rebases.load(world.log, entries[begun].base).state
    spans = [(b.partition, order(b.first), order(b.last)) for e in entries[begun:] for b in e.batches]
    partitions = world.application.partitions
    reader = LogReader(world.log, "world", partitions)
    ends = cutting.ends(world.log, "world", partitions)
    found = cutting.cut(cutting.lanes(world.log, "world", [START] * partitions, ends), 1)
    for partition, position in [(stretch.batch.partition, stretch.batch.first) for stretch in found]:
        (taught,) = reader.examples(partition, position, position)
        at = order(position)
        times = sum(p == partition and first <= at <= last for p, first, last in spans)
        if at <= order(state.positions[partition]):
            assert times == 0, position
        else:
            assert times == 1 or (times == 0 and taught.effect is Effect.NONE), (position, times)


def check_all(world):
    """Restart and replay."""
    again = world.learner()
    assert not again.figures.rebuild_mismatch
    drain(again, lambda: True)
    check_learnt_once(world)
    replayed = replay(world.application, world.data)
    assert replayed.clean, replayed.told
    assert replayed.counts["versions"] == world.weights().header.version


EVERY_DAY = (1, 2, 5, 7)
SOME = [
    each if place in EVERY_DAY else pytest.param(*each, marks=pytest.mark.slow)
    for place, each in enumerate(OPTIONS)
]


@pytest.mark.parametrize(("mode", "partitions", "options"), SOME)
def test_a_hand_over_with_any_mode_and_options_is_rebuilt(store, data_folder, mode, partitions, options):
    """Trained at another rate than the learner's, taken over, learnt on, restarted, replayed."""
    world = world_of(store, data_folder, mode, partitions, options)
    learner = world.learner()
    world.shop(60)
    archived(world, learner)
    base = train_base(world, Variant(2, world.application.model.learning_rate / 2))
    world.shop(30)
    offer_base(world, base)
    world.now_s += 3600
    steps(learner)
    outcome = offers.read_outcome(checkpoints(world))
    assert outcome.version, outcome.reason
    world.shop(20)
    archived(world, learner)
    drain(learner, lambda: True)
    check_all(world)


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, len(OPTIONS)))]


@pytest.mark.parametrize("seed", SEEDS)
def test_any_walk_ends_with_everything_learnt_once(store, data_folder, seed):
    """Seeded: traffic, single steps, deaths, orderly stops, trainings and offers in any order."""
    chance = random.Random(seed)
    mode, partitions, options = OPTIONS[seed % len(OPTIONS)]
    world = world_of(store, data_folder, mode, partitions, options, trim_every_s=1.0, checkpoint_every_s=2.0)
    learner, bases = world.learner(), []
    world.shop(40)
    archived(world, learner)
    for at_ms in range(40):
        match chance.choice(["shop", "step", "step", "death", "stop", "train", "offer", "again"]):
            case "shop":
                world.shop(chance.randrange(1, 25))
            case "step":
                world.now_s += chance.choice([0, 1, 3, 40])
                step(learner)
            case "death":
                learner = world.learner()
            case "stop":
                drain(learner, lambda: True)
                learner = world.learner()
            case "train":
                bases.append(
                    train_base(
                        world, Variant(chance.randrange(1, 3), world.application.model.learning_rate / 2)
                    )
                )
            case "offer" if bases:
                offer_base(world, bases[-1], at_ms)
            case "again" if bases:
                offer_base(world, chance.choice(bases), at_ms)
    offer_base(world, train_base(world, Variant(1, world.application.model.learning_rate)), 1000)
    archived(world, learner)
    outcome = offers.read_outcome(checkpoints(world))
    assert outcome.offer.at_ms == 1000
    assert outcome.version, outcome.reason
    drain(learner, lambda: True)
    check_all(world)
