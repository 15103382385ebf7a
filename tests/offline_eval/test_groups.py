"""Estimates group by group: rows are scored once, each in its group, and all of them add up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from offline_eval.candidates import candidate_of
from offline_eval.dataset import Window
from offline_eval.errors import BadCandidate
from offline_eval.evaluate import Options, evaluate
from offline_eval.groups import MOST_GROUPS
from offline_eval.target_policy import Logged, Uniform
from sidecar.contracts.application import Exploration
from sidecar.policy.exploration import pmf_of
from tests.offline_eval.logs import DEVICES, row, simulated_rows, weights, write_log

SEGMENTS = ("bold", "calm", None)


@pytest.fixture(scope="module")
def rows():
    """In three segments, with a rule's answers among them."""
    made = [{**one, "segment": SEGMENTS[i % 3]} for i, one in enumerate(simulated_rows(900, 3))]
    ruled = {
        "source": "pre_policy",
        "policy": "kiosk",
        "propensity": 1.0,
        "deterministic": True,
        "learn": False,
    }
    return made + [row(1000 + i, segment="bold", **ruled) for i in range(30)]


@pytest.fixture(scope="module")
def log(rows, tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("groups"), rows, files=3)


def found(log, by=("segment",), **options):
    return evaluate(log, [Uniform(), Logged()], Window(), Options(by=by, **options))


def test_each_group_is_what_it_would_be_alone(log, rows, tmp_path):
    """But for the reward model, which is fitted on all: so those estimates are compared that need none."""
    together = {one.group: one for one in found(log).groups}
    assert list(together) == ["", "bold", "calm"]
    for segment in SEGMENTS:
        folder = write_log(tmp_path / str(segment), [one for one in rows if one["segment"] == segment])
        alone = evaluate(folder, [Uniform(), Logged()], Window(), Options())
        for here, there in zip(together[segment or ""].candidates, alone.candidates, strict=True):
            assert (here.rows, here.effective_rows) == (there.rows, pytest.approx(there.effective_rows))
            for one, other in zip(here.estimates, there.estimates, strict=True):
                if one.estimator in ("ips", "snips"):
                    assert one.value.value == pytest.approx(other.value.value)
                    assert one.value.low == pytest.approx(other.value.low)


def test_groups_change_nothing_of_the_whole(log):
    """To the last digits: sums are only added in another order. However small the batches are."""
    plain = found(log, by=())
    for grouped in (found(log), found(log, batch_rows=7)):
        for here, there in zip(grouped.candidates, plain.candidates, strict=True):
            assert here.rows == there.rows == 900
            for one, other in zip(here.estimates, there.estimates, strict=True):
                assert (one.value is None) == (other.value is None)
                if one.value:
                    assert one.value.value == pytest.approx(other.value.value, rel=1e-9)
    assert (plain.by, plain.groups) == ((), ())


def test_what_rules_answered_is_in_no_estimate(log):
    """It is counted, with its reason."""
    evaluation = found(log)
    assert evaluation.log.left_out == {"pre_policy": 30}
    assert sum(group.candidates[0].rows for group in evaluation.groups) == 900


def test_several_keys_and_features_group_too(log):
    groups = [one.group.split("\x1f") for one in found(log, by=("segment", "context.device")).groups]
    assert len(groups) == 9
    assert {device for _, device in groups} == set(DEVICES)


def test_what_is_no_group_is_refused(log, tmp_path):
    with pytest.raises(BadCandidate, match="'colour' is no key: legal are slot"):
        found(log, by=("colour",))
    names = [row(i, context=msgspec.json.encode({"n": i}).decode()) for i in range(MOST_GROUPS + 1)]
    with pytest.raises(BadCandidate, match="more than 200 groups"):
        evaluate(write_log(tmp_path, names), [Uniform()], Window(), Options(by=("context.n",)))


def test_the_command_tells_groups_in_every_form(log, tmp_path):
    """A table, JSON, and the page."""
    command = [Path(sys.executable).with_name("sidearm"), "evaluate", "--log", log, "--candidate", "uniform"]
    files = ["--json", tmp_path / "e.json", "--html", tmp_path / "e.html"]
    done = subprocess.run(
        [*map(str, [*command, "--by", "segment", *files])],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "160"},
    )
    assert done.returncode == 0, done.stderr
    assert "by segment" in done.stdout
    assert "(none)" in done.stdout
    assert [g["group"] for g in msgspec.json.decode((tmp_path / "e.json").read_bytes())["groups"]] == [
        "",
        "bold",
        "calm",
    ]
    assert "<h2>By segment</h2>" in (tmp_path / "e.html").read_text()


@pytest.mark.parametrize(
    ("text", "exploration"),
    [
        ("softmax:0.5", Exploration("softmax", control_share=0.0, temperature=0.5)),
        ("squarecb:40", Exploration("squarecb", control_share=0.0, gamma=40.0)),
        ("epsilon:0.1", Exploration(epsilon=0.1, control_share=0.0)),
    ],
)
def test_every_scheme_is_a_candidate(text, exploration):
    """With the probabilities that would serve."""
    made, scores = candidate_of(text, weights), np.array([0.1, 0.5, -0.2], np.float32)
    assert made.name == text
    assert np.array_equal(pmf_of(scores, made.exploration), pmf_of(scores, exploration))


@pytest.mark.parametrize("text", ["softmax:0", "squarecb:-1", "squarecb:x", "softmax:nan", "softmax"])
def test_a_scheme_outside_its_range_is_no_candidate(text):
    with pytest.raises(BadCandidate):
        candidate_of(text, weights)
