"""What was scored once is not scored again, and changes no digit."""

from __future__ import annotations

import numpy as np
import pytest

from offline_eval.dataset import Window
from offline_eval.errors import BadLog
from offline_eval.evaluate import Options, evaluate
from offline_eval.kept_scores import Kept, digest_of
from offline_eval.target_policy import Scored, epsilon_greedy
from tests.offline_eval.logs import START, simulated_rows, weights, write_log


@pytest.fixture
def policy():
    random = np.random.default_rng(1)
    return epsilon_greedy(weights(dict(enumerate(random.normal(size=1024).astype(np.float32)))), 0.2)


@pytest.fixture
def log(tmp_path):
    return write_log(tmp_path, simulated_rows(120, seed=1), files=3)


@pytest.fixture
def scored(monkeypatch):
    """How many rows the policy itself was asked for."""
    counts, pmf = [], Scored.pmf

    def counted(self, batch):
        counts.append(len(batch))
        return pmf(self, batch)

    monkeypatch.setattr(Scored, "pmf", counted)
    return counts


def numbers(log, policy, scores="", **options):
    (result,) = evaluate(log, [policy], options=Options(scores=str(scores), **options)).candidates
    return {one.estimator: one.value.value for one in result.estimates if one.value}


def test_the_second_time_nothing_is_scored(log, policy, scored, tmp_path):
    """And the numbers are the same, however the batches are cut."""
    plain = numbers(log, policy)
    scored.clear()

    first = numbers(log, policy, tmp_path / "scores", batch_rows=50)
    assert sum(scored) == 120
    again = numbers(log, policy, tmp_path / "scores", batch_rows=17)

    assert sum(scored) == 120
    assert first == pytest.approx(plain, rel=1e-12)
    assert again == pytest.approx(plain, rel=1e-12)


def test_only_what_is_missing_is_scored(log, policy, scored, tmp_path):
    """Half the log by time, then all of it; a new file, and a broken one."""
    half = Window(until=START.replace(minute=1))
    evaluate(log, [policy], half, Options(scores=str(tmp_path / "scores")))
    assert sum(scored) == 60

    numbers(log, policy, tmp_path / "scores")
    assert sum(scored) == 120

    files = sorted((tmp_path / "scores").rglob("*.parquet"))
    assert [path.name for path in files] == [f"0-{place:020d}-0.parquet" for place in (1, 2, 3)]
    files[1].write_bytes(b"PAR1")
    numbers(log, policy, tmp_path / "scores")
    assert sum(scored) == 160


def test_another_version_is_another_folder(policy):
    """So is another exploration; the same one is the same."""
    other = epsilon_greedy(policy.weights, 0.3)
    newer = epsilon_greedy(weights(), 0.2)

    assert len({digest_of(policy), digest_of(other), digest_of(newer)}) == 3
    assert digest_of(epsilon_greedy(policy.weights, 0.2)) == digest_of(policy)


def test_a_folder_that_cannot_be_written_is_named(log, policy, tmp_path):
    (tmp_path / "scores").write_text("a file")

    with pytest.raises(BadLog, match="scores cannot be kept in"):
        numbers(log, policy, tmp_path / "scores")


def test_it_says_how_many_rows_were_new(log, policy, tmp_path):
    kept = Kept(policy, tmp_path / "scores")

    evaluate(log, [kept])

    assert kept.scored_rows == 120
