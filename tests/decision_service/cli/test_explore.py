"""``sidearm explore``: what it says, what it changes, what it refuses."""

from __future__ import annotations

import subprocess

import pytest

from sidecar.contracts.application import ExplorationConfig
from sidecar.contracts.exploring import Segment
from sidecar.contracts.exploring_store import read_exploring
from tests.commands import sidearm


@pytest.fixture
def explore(store_url):
    """The command, for the shop."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return sidearm("explore", *arguments, SIDEARM_APP="examples/shop", REDIS_URL=store_url)

    return run


def test_what_is_changed_is_shown_and_what_is_left_out_stays(explore, store):
    """Everywhere, and in segments, which begin from what is so everywhere."""
    assert explore("show").stdout == (
        "everywhere (as app.toml says): epsilon_greedy, epsilon 0.2, control share 0.01\n"
    )
    explore("set", "--scheme", "squarecb", "--gamma", 40)
    explore("segment", "late", "--rule", "evening", "--where", "device=ios", "--where", "device=web")
    told = explore(
        "segment", "new", "--where", "visits=1", "--units", "0.1-0.3", "--floor", 0.01, "--before", "late"
    )
    assert told.stdout.splitlines() == [
        "everywhere (revision 3): squarecb, gamma 40, control share 0.01",
        "new: visits is 1.0, units 0.1 to 0.3: squarecb, gamma 40, floor 0.01, control share 0.01",
        "late: device is ios or web, rule evening: as everywhere",
    ]
    found = read_exploring(store, "shop")
    assert found.everywhere == ExplorationConfig("squarecb", 0.2, gamma=40.0)
    assert found.named("late") == Segment(name="late", rule="evening", where={"device": ["ios", "web"]})
    explore("remove", "new")
    assert len(explore("reset").stdout.splitlines()) == 2
    assert read_exploring(store, "shop").everywhere is None


def test_a_floor_that_leaves_nothing_to_the_scores_is_legal_and_told(explore):
    told = explore("set", "--floor", 0.05)
    assert told.stdout.endswith(
        "floor 0.05, control share 0.01 (the floor is no less than 1/20: all 20 arms are alike)\n"
    )
    assert "alike" not in explore("set", "--floor", 0.049).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "--scheme", "thompson"), "legal: 'epsilon_greedy' or 'softmax' or"),
        (("set", "--epsilon", 2), "`float` <= 1.0 - at `$.epsilon`; legal: a number from 0 to 1"),
        (("set",), "nothing to set: name --scheme, --epsilon,"),
        (("segment", "a", "--rule", "unheard"), "'unheard' is no rule of segments; legal: evening"),
        (("segment", "a", "--units", "lots"), "legal are two shares"),
        (("segment", "a", "--units", "0.5-0.2"), "from below to"),
        (("segment", "a", "--where", "device"), "legal is FEATURE=VALUE"),
        (
            (
                "segment",
                "Übel",
            ),
            "regex",
        ),
        (("segment", "a", "--before", "b"), "no segment is called 'b'; there are: none"),
        (("remove", "b"), "no segment is called 'b'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(explore, arguments, said):
    done = explore(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
