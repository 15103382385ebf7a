"""A model from elsewhere to begin with: it is served at once, goes on learning, and the log knows of it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from policy_learner.learning.trainer import Trainer
from policy_learner.loop import drain, step
from policy_learner.models import checkpoint
from policy_learner.models.replay import replay
from policy_learner.settings import LearnerSettings
from sidecar.contracts import keys as app_keys
from sidecar.contracts.errors import BadSettings, BadWeights
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.weights import encode_weights, weights_of
from tests.parity.test_vw_parity import _disparity, _weights
from tests.policy_learner.test_trainer import _examples, _model
from tests.policy_learner.world import HORIZON_MS, World

PAIRS = ("ca", "aa", "cc")


def _taught(model: ModelConfig) -> Trainer:
    trainer = Trainer(model)
    trainer.learn(_examples(1, 60))
    return trainer


@pytest.mark.parametrize("cb_type", ["mtr", "dr"])
@pytest.mark.parametrize("optimizer", ["adaptive", "sgd", "ftrl"])
def test_a_warm_trainer_predicts_what_its_weights_score_and_learns_on(optimizer, cb_type):
    """From the first example on, and after a restart; what is not touched stays as it was."""
    weights = _weights(_taught(_model("adaptive")).weights_values(), PAIRS, bits=14)
    trainer = Trainer.warm(_model(optimizer, cb_type), weights)
    assert trainer.weights_values().tobytes() == weights.values.tobytes()
    for example in _examples(2, 10):
        assert _disparity(weights, example, trainer.predict(example)) <= 1e-6

    resumed = Trainer.restore(_model(optimizer, cb_type), trainer.serialize())
    foreseen = trainer.learn(_examples(3, 4))
    assert resumed.learn(_examples(3, 4)) == foreseen
    assert resumed.weights_values().tobytes() == trainer.weights_values().tobytes()
    moved = np.abs(trainer.weights_values() - weights.values)
    assert moved.max() > 0.0
    assert (moved == 0.0).mean() > 0.9


def test_what_a_model_cannot_begin_with_is_refused():
    """Weights of another shape, and weights alone for an optimizer that bets its winnings."""
    weights = _weights(np.zeros(2**14, np.float32), PAIRS, bits=14)
    with pytest.raises(BadWeights, match="coin cannot begin with weights alone"):
        Trainer.warm(_model("coin"), weights)
    with pytest.raises(BadWeights, match="have 14 bits"):
        Trainer.warm(_model(bits=15), weights)
    with pytest.raises(BadWeights, match="interactions"):
        Trainer.warm(_model(interactions=("ca",)), weights)


class _Begun:
    """A teacher of an earlier life, and a world that begins with its model."""

    def __init__(self, store, data_folder: DataFolder, tmp_path) -> None:
        values = np.zeros(2**10, np.float32)
        values[::7] = np.random.default_rng(1).normal(size=len(values[::7])).astype(np.float32)
        header = msgspec.structs.replace(_weights(values, ("ca",), bits=10).header, version=77, examples=500)
        self.weights, self.file = weights_of(header, values), tmp_path / "teacher.bin"
        self.file.write_bytes(encode_weights(self.weights))
        settings = LearnerSettings(publish_every_examples=1, archive_rows=1000, warm_start=str(self.file))
        self.world = World(store, data_folder, settings=settings)


@pytest.fixture
def begun(store, data_folder, tmp_path) -> _Begun:
    return _Begun(store, data_folder, tmp_path)


def _run(learner) -> None:
    while step(learner):
        pass


def test_it_is_served_before_anything_was_learnt_and_the_log_begins_with_it(begun):
    """Published as the first version; learnt on, stopped, resumed; the replay finds the same bits."""
    world = begun.world
    learner = world.learner()
    _run(learner)
    served = world.weights()
    assert (served.header.version, served.header.examples) == (1, 0)
    assert served.values.tobytes() == begun.weights.values.tobytes()

    for _ in range(2):
        world.shop(12)
        _run(learner)
        begun.file.write_bytes(b"what is there later is of no matter")
        learner = world.learner()
        assert not learner.figures.rebuild_mismatch
    assert world.weights().header.examples == 24
    drain(learner, lambda: True)
    result = replay(world.application, world.data)
    assert result.told == []
    assert result.counts["versions"] >= 3
    assert result.counts["scored"] == 24


def test_a_checkpoint_before_the_first_version_is_no_model_to_begin_with(store, data_folder):
    """All that was read so far was not to be learnt: whoever starts next has nothing to publish either."""
    world = World(store, data_folder)
    world.decide(3, learn=False)
    world.move(HORIZON_MS + 1)
    learner = world.learner()
    drain(learner, lambda: True)
    assert learner.progress.checkpoint_version == 0
    assert learner.progress.checkpoint_positions != ["0-0", "0-0"]
    again = world.learner()
    _run(again)
    assert (again.progress.version, world.client.exists(app_keys.weights(world.application.name))) == (0, 0)


@pytest.mark.parametrize("deaths", [1, 3])
def test_dying_before_the_first_version_stands_changes_nothing(begun, deaths):
    """The checkpoint is there, the version is not: the next start sends it."""
    for _ in range(deaths):
        begun.world.learner()
    learner = begun.world.learner()
    _run(learner)
    assert learner.progress.version == 1
    assert begun.world.weights().values.tobytes() == begun.weights.values.tobytes()


def test_a_checkpoint_goes_on_at_its_own_rate(begun, tmp_path):
    """Of the same model: the optimizer's sums come along, not only the weights."""
    world, model = begun.world, begun.world.application.model
    taught = Trainer(model)
    taught.learn(_examples(5, 40))
    path = tmp_path / "9.checkpoint"
    saved = checkpoint.Checkpoint(
        version=9, epoch=2, examples=40, positions=("7-0",), trained=("7-0",), state=taught.serialize()
    )
    path.write_bytes(checkpoint.encode(saved))
    world.settings = msgspec.structs.replace(world.settings, warm_start=str(path))
    learner = world.learner()
    assert learner.training.trainer.learn(_examples(6, 5)) == taught.learn(_examples(6, 5))
    assert learner.progress.positions == ["0-0", "0-0"]


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_file_that_cannot_be_used_stops_the_start(begun, damage):
    """One line that names it; nothing was begun."""
    if damage == "gone":
        begun.file.unlink()
    elif damage == "cut":
        begun.file.write_bytes(begun.file.read_bytes()[:-5])
    else:
        model = ModelConfig(bits=11)
        begun.world.application = msgspec.structs.replace(begun.world.application, model=model)
    with pytest.raises(BadSettings, match=r"warm_start: .*teacher\.bin: "):
        begun.world.learner()
    assert not list(begun.world.data.checkpoints("world").glob("*.checkpoint"))
