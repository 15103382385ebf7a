"""The base model from end to end: put in place, served, logged, learnt from, and found by the replay."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from decision_service.cli.main import root
from policy_learner.loop import drain, step
from policy_learner.models.replay import replay
from policy_learner.rebase.base_models import BaseModels, install, installed, remove
from policy_learner.settings import LearnerSettings
from policy_learner.state import Deps, open_learner
from sidecar.contracts import keys as app_keys
from sidecar.contracts.application import load_application
from sidecar.contracts.arm_features import values_of
from sidecar.contracts.base_model import name_of
from sidecar.contracts.catalogue import load_catalogue
from sidecar.contracts.errors import BadModel, BadWeights
from sidecar.contracts.hashing import ARM_SEED, name_hash
from sidecar.contracts.keys import Keys
from sidecar.contracts.model_section import BaseConfig, ModelConfig
from sidecar.contracts.store import Scripts
from sidecar.contracts.weights import WeightsHeader, encode_weights, weights_of
from sidecar.policy.base import BaseModel, base_column_of_event
from sidecar.policy.held_arms import ArmTables
from tests.decision_service.platform import platform, sidecar_get
from tests.decision_service.test_failures import publish
from tests.decision_service.test_service import stored_event
from tests.policy_learner.kept_shop import Shop
from tests.policy_learner.world import World
from tests.waiting import until

FEATURE = "base_score"


def _record(seed: int = 5, bits: int = 9) -> bytes:
    """A model of another shape than the application's."""
    header = WeightsHeader(
        version=seed, bits=bits, interactions=(), positions=(), trained_until_ms=1, epoch=1, examples=9
    )
    values = np.random.default_rng(seed).normal(size=2**bits).astype(np.float32)
    return encode_weights(weights_of(header, values))


def _place(bits: int) -> int:
    return name_hash(FEATURE, ARM_SEED) & (2**bits - 1)


@pytest.fixture
def world(store, data_folder) -> World:
    made = World(store, data_folder, settings=LearnerSettings(publish_every_examples=1, archive_rows=1000))
    model = ModelConfig(bits=10, base=BaseConfig())
    made.application = msgspec.structs.replace(made.application, model=model)
    return made


def _install(world: World, seed: int = 5) -> None:
    name = install(world.client, world.application, world.log, _record(seed), "a test")
    world.base = BaseModel(name, FEATURE, BaseModels(world.log).read(name))


def _learn(world: World, learner, count: int = 12) -> None:
    world.shop(count)
    world.now_s += 1.0
    while step(learner):
        pass


def test_the_learner_learns_what_the_base_score_is_worth_and_the_replay_finds_it_again(world):
    """Without one, with one, with another: every bit of scores, weights and the base's own scores."""
    learner = world.learner()
    _learn(world, learner)
    assert world.weights().values[_place(10)] == 0.0
    for seed in (5, 6):
        _install(world, seed)
        _learn(world, learner)
    assert world.weights().values[_place(10)] != 0.0
    learner = world.learner()
    assert not learner.figures.rebuild_mismatch
    _learn(world, learner)
    drain(learner, lambda: True)

    result = replay(world.application, world.data)
    assert result.told == []
    assert (result.counts["scored"], result.counts["based"]) == (48, 36)


@pytest.mark.parametrize(
    ("damage", "complaint"), [("gone", "is gone"), ("altered", "is another"), ("cut", "cut")]
)
def test_the_replay_notices_a_base_model_that_is_not_the_one(world, damage, complaint, monkeypatch):
    """Its file is gone, its file is cut, or what was logged is not what it says."""
    _install(world)
    path = world.log / "models" / f"base-{world.base.name}.bin"
    if damage == "altered":
        other = BaseModels(world.log).add(_record(9))
        world.base = world.base._replace(weights=BaseModels(world.log).read(other))
    learner = world.learner()
    _learn(world, learner)
    drain(learner, lambda: True)
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    result = replay(world.application, world.data)
    assert result.mismatches == {"base": 12}
    assert complaint in result.told[0].detail


def test_what_no_sidecar_would_look_for_is_refused(world):
    """Without `[model.base]`, and what is no record; nothing is put in the store."""
    with pytest.raises(BadWeights):
        install(world.client, world.application, world.log, b"SDW1 nonsense", "")
    plain = msgspec.structs.replace(world.application, model=ModelConfig(bits=10))
    with pytest.raises(BadModel, match=r"no \[model\.base\]"):
        install(world.client, plain, world.log, _record(), "")
    assert installed(world.client, "world") is None
    assert not remove(world.client, "world")


def _sidecar_has_it(shop) -> bool:
    return "\nsidearm_base_model 1\n" in sidecar_get(shop, "/metrics")[1]


@pytest.mark.slow
def test_from_the_command_to_the_weights_over_real_processes(tmp_path):
    """`sidearm models base`, the sidecar, the service's event, the learner, the replay."""
    record = tmp_path / "slow.bin"
    record.write_bytes(_record())
    with platform(top="[model.base]") as shop:

        def command(*arguments: object) -> str:
            asked = [
                "models",
                "base",
                *map(str, arguments),
                "--app",
                str(shop.folder),
                "--data",
                str(shop.data.root),
            ]
            done = CliRunner().invoke(root(), asked, env={"REDIS_URL": shop.store_server.url})
            assert done.exit_code == 0, done.output
            return done.output

        before = shop.recommend(session_id="s-0", context={"device": "ios"}).json()
        assert FEATURE not in stored_event(shop, before).arm_features
        assert "no base model" in command()
        assert f"base model {name_of(_record())}, slow.bin" in command(record)
        assert "slow.bin" in command()
        shelf = ["models", "list", "--app", str(shop.folder), "--data", str(shop.data.root)]
        listed = CliRunner().invoke(root(), shelf, env={"REDIS_URL": shop.store_server.url}).output
        assert f"base model {name_of(_record())}, slow.bin" in listed
        until(lambda: _sidecar_has_it(shop))

        answers = [shop.recommend(session_id=f"s-{n}", context={"device": "ios"}).json() for n in range(1, 6)]
        event, seen = stored_event(shop, answers[0]), shop.decision(answers[0]["decision_id"])
        application = load_application(shop.folder)
        catalogue = load_catalogue(shop.folder, application)
        log = shop.data.log("bench")
        base = BaseModel(name_of(_record()), FEATURE, BaseModels(log).read(name_of(_record())))
        column = base_column_of_event(event, catalogue, base, ArmTables())
        assert event.arm_features == {FEATURE: column}
        assert event.outcomes[FEATURE] == f"base {base.name}" == seen["outcomes"][FEATURE]
        shown = {arm["arm"]: arm["features"][FEATURE] for arm in seen["arms"]}
        assert list(shown.values()) == values_of(column, 4)

        assert "no base model any more" in command("--none")
        until(lambda: not _sidecar_has_it(shop))
        after = shop.recommend(session_id="s-9", context={"device": "ios"}).json()
        assert FEATURE not in stored_event(shop, after).arm_features

        for answer in answers[::2]:
            shop.reward(decision_id=answer["decision_id"], event="purchase", reward_id=answer["decision_id"])
        for partition in range(2):
            shop.store.incrby(Keys("bench", partition).skew, 3_700_000)
        shop.store.incrby(app_keys.app_skew("bench"), 3_700_000)
        settings = LearnerSettings(publish_every_examples=1)
        learner = open_learner(Deps(application, settings, shop.data, Scripts.on(shop.store), lambda: 0.0))
        drain(learner, lambda: True)
        assert learner.training.examples == 7
        assert learner.training.trainer.weights_values()[_place(18)] != 0.0
        result = replay(application, shop.data)
        assert (result.told, result.counts["based"], result.counts["scored"]) == ([], 5, 7)


@pytest.mark.slow
def test_a_base_model_that_must_not_be_served_changes_nothing():
    """A record that is not what it is named after: refused once, said, and the one before stays."""
    with platform(top='[model.base]\nfeature = "slow"') as shop:
        application = load_application(shop.folder)
        install(shop.store, application, shop.data.log("bench"), _record(), "good")
        until(lambda: _sidecar_has_it(shop))
        shop.store.hset(app_keys.base_model("bench"), mapping={"name": "0" * 16, "record": b"foreign"})
        shop.store.xadd(app_keys.model_notices("bench"), {"base": "0" * 16})
        until(lambda: "sidearm_weights_refused_total 1\n" in sidecar_get(shop, "/metrics")[1])
        answer = shop.recommend(context={"device": "ios"}).json()
        event = stored_event(shop, answer)
        assert event.outcomes["slow"] == f"base {name_of(_record())}"
        shop.store.set(app_keys.base_model("bench"), "of another kind")
        shop.store.xadd(app_keys.model_notices("bench"), {"base": ""})
        publish(shop, version=3)
        until(lambda: shop.recommend(session_id="u").json()["model_version"] == 3)
        assert _sidecar_has_it(shop)
        shop.store.delete(app_keys.base_model("bench"))
        install(shop.store, application, shop.data.log("bench"), _record(8), "good again")
        until(
            lambda: (
                stored_event(shop, shop.recommend(session_id="t").json()).outcomes.get("slow")
                == f"base {name_of(_record(8))}"
            )
        )


def test_a_base_model_is_trained_from_the_log_without_its_own_feature(
    store, data_folder, tmp_path, store_url
):
    """`sidearm train --as-base-model` puts it in place; logged scores of the one before teach it nothing."""
    shop = Shop(store, data_folder, tmp_path / "app")
    shop.application = msgspec.structs.replace(
        shop.application, model=ModelConfig(bits=10, base=BaseConfig())
    )
    _install(shop)
    learner = shop.learner()
    shop.learn(learner, 40)
    drain(learner, lambda: True)
    asked = ("--as-base-model", "--no-evaluation", "--epochs", "2")
    refused = shop.run("train", shop.folder, *asked, url=store_url, app=False)
    assert "app.toml has no [model.base]" in refused.output + str(refused.exception)

    with (shop.folder / "app.toml").open("a") as file:
        file.write("[model.base]\n")
    done = shop.run("train", shop.folder, *asked, url=store_url, app=False)
    assert done.exit_code == 0, done.output
    found = installed(shop.client, "world")
    assert "trained on" in found.note
    assert found.name in done.output
    weights = BaseModels(shop.log).read(found.name)
    assert weights.values[_place(10)] == 0.0
    assert np.count_nonzero(weights.values) > 10
    assert learner.training.trainer.weights_values()[_place(10)] != 0.0
    assert "cannot be both" in str(
        shop.run("train", shop.folder, *asked, "--hand-over", url=store_url, app=False).exception
    )
