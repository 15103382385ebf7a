"""Models taken in and out, and logs over them that replay."""

from __future__ import annotations

import msgspec
import pytest

from policy_learner.loop import drain
from policy_learner.models.imported import ImportedModels
from policy_learner.models.model_shelf import look, read_model, take_in
from policy_learner.models.replay import replay
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.models import IMPORTED_FROM
from sidecar.contracts.weights import decode_weights, encode_weights, weights_of


def test_a_log_over_a_rollback_and_an_import_replays_without_a_mismatch(shop):
    """Decisions of an old version between those of newer ones, and of a model from elsewhere."""
    learner = shop.learner()
    old = shop.learn(learner, 20)
    shop.learn(learner, 20)
    shop.served = old
    shop.learn(learner, 20)
    record = read_model(shop.client, "world", old)[1]
    strange = encode_weights(weights_of(decode_weights(record).header, decode_weights(record).values * 2))
    shop.served = take_in(shop.scripts, shop.application, ImportedModels(shop.log), strange, "elsewhere")
    shop.learn(learner, 20)
    shop.served = None
    shop.learn(learner, 20)
    drain(learner, lambda: True)

    result = replay(shop.application, shop.data)
    assert result.clean, result.told
    assert result.counts["scored"] == result.counts["decisions"] == 100


def test_an_imported_model_that_was_altered_in_the_log_is_a_mismatch(shop):
    """The replay says so, it does not guess."""
    learner = shop.learner()
    shop.learn(learner)
    record = read_model(shop.client, "world", learner.progress.version)[1]
    shop.served = take_in(shop.scripts, shop.application, ImportedModels(shop.log), record[:], "x")
    assert shop.served == learner.progress.version  # it is ours: no second number for it
    other = encode_weights(weights_of(decode_weights(record).header, decode_weights(record).values * 2))
    shop.served = take_in(shop.scripts, shop.application, ImportedModels(shop.log), other, "x")
    assert shop.served == IMPORTED_FROM + 1
    shop.learn(learner)
    drain(learner, lambda: True)
    path = shop.log / "models" / f"{shop.served}.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert replay(shop.application, shop.data).mismatches["weights"] == 1


def test_export_and_import_carry_a_model_between_platforms(shop, store_url, tmp_path):
    """The file is the record; the other platform gives it a number of its own, the same one twice."""
    learner = shop.learner()
    version = shop.learn(learner)
    file = tmp_path / "model.bin"
    result = shop.run("models", "export", version, file, url=store_url)
    assert result.exit_code == 0, result.output
    assert file.read_bytes() == read_model(shop.client, "world", version)[1]
    again = shop.run("models", "export", version, file, url=store_url)
    assert "exists" in str(again.exception)

    shop.client.flushall()
    for _ in range(2):
        result = shop.run("models", "import", file, url=store_url)
        assert "version i1" in result.output, result.output
    assert shop.run("models", "rollback", "i1", url=store_url).exit_code == 0
    taken = read_model(shop.client, "world", IMPORTED_FROM + 1)[0]
    assert taken.values.tobytes() == decode_weights(file.read_bytes()).values.tobytes()
    assert "i1" in shop.run("models", "list", url=store_url).output
    assert "is pinned" in str(shop.run("models", "forget", "i1", url=store_url).exception)
    shop.run("models", "resume", url=store_url)
    assert shop.run("models", "forget", "i1", url=store_url).exit_code == 0
    assert ImportedModels(shop.log).read(IMPORTED_FROM + 1) is not None  # what it decided can be replayed


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda record: record[:-1], "cut or altered"),
        (lambda record: b"", "at least"),
        (lambda record: b"GIF89a" + record[6:], "not b'SDW1'"),
        ("bits", "9 bits"),
        ("interactions", "interactions"),
    ],
)
def test_a_model_that_does_not_fit_is_not_taken_in(shop, store_url, tmp_path, change, complaint):
    """One line that says what is wrong; nothing was changed."""
    learner = shop.learner()
    record = read_model(shop.client, "world", shop.learn(learner))[1]
    weights = decode_weights(record)
    if change == "bits":
        header, values = msgspec.structs.replace(weights.header, bits=9), weights.values[:512]
        record = encode_weights(weights_of(header, values))
    elif change == "interactions":
        header = msgspec.structs.replace(weights.header, interactions=("aa",))
        record = encode_weights(weights_of(header, weights.values))
    else:
        record = change(record)
    file = tmp_path / "model.bin"
    file.write_bytes(record)
    before = look(shop.client, "world").kept
    result = shop.run("models", "import", file, url=store_url)
    assert isinstance(result.exception, SidearmError)
    assert complaint in str(result.exception)
    assert look(shop.client, "world").kept == before
    assert ImportedModels(shop.log).versions() == []
