"""``sidearm models deploy`` and its like, on the real store."""

from __future__ import annotations

import pytest

from sidecar.contracts import keys
from sidecar.contracts.roster import FIRST_ROSTER, Model
from sidecar.contracts.rostering import read_roster
from sidecar.contracts.weights import decode_weights, encode_weights, weights_of


@pytest.fixture
def run(shop, store_url):
    def run(*arguments, code=0):
        done = shop.run("models", *arguments, url=store_url)
        assert done.exit_code == code, done.output
        return done.output + (str(done.exception) if done.exception else "")

    return run


def test_deploy_share_promote_undeploy(shop, run, store):
    """Each shows the models as they are then; a version that is deployed is kept, whatever it was before."""
    version = shop.learn(shop.learner())
    out = run(
        "deploy", "bold", "--role", "challenger", "--version", version, "--share", "0.2", "--epsilon", 0.3
    )
    assert "80.0%" in out
    (_, bold) = read_roster(store, "world").models
    assert (bold.version, bold.share, bold.exploration.epsilon) == (version, 0.2, 0.3)
    assert store.hkeys(keys.deployed("world")) == [b"%d" % version]
    run("share", "bold", 0.5)
    run("promote", "bold")
    assert read_roster(store, "world").champion.name == "bold"
    run("undeploy", "champion")
    assert "bold" in run("list")
    assert [one.name for one in read_roster(store, "world").models] == ["bold"]


def test_a_record_from_elsewhere_is_imported_first(shop, run, store, tmp_path):
    version = shop.learn(shop.learner())
    weights = decode_weights(store.hget(keys.model_records("world"), str(version)))
    (tmp_path / "other.bin").write_bytes(encode_weights(weights_of(weights.header, weights.values * 2)))
    run("deploy", "old", "--file", tmp_path / "other.bin")
    assert read_roster(store, "world").named("old").version == 10**12 + 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deploy", "a", "--version", "99"), "not kept"),
        (("deploy", "a", "--role", "king"), "no role"),
        (("deploy", "a", "--scheme", "greedy"), "legal are epsilon_greedy, softmax"),
        (("deploy", "a", "--scheme", "softmax", "--temperature", "-1"), "its own exploration"),
        (("deploy", "Ä b"), "name is 'Ä b': legal is a letter"),
        (("deploy", "a", "--role", "challenger", "--share", "1.5"), "share is 1.5: legal is 0 to 1"),
        (("undeploy", "champion"), "promote another"),
        (("promote", "x"), "no model is called"),
        (("share", "champion", "0.5"), "has no share"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, store, arguments, said):
    assert said in run(*arguments, code=1)
    assert read_roster(store, "world") == FIRST_ROSTER
    assert FIRST_ROSTER.models == (Model(name="champion", role="champion"),)
