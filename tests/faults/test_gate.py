"""The mutation gate itself: what it accepts as caught. All mutants run in ``make faults``."""

from __future__ import annotations

import subprocess

import pytest

from tests.faults import gate
from tests.faults.gate import judge
from tests.faults.mutant import ROOT, Mutant, StaleMutant, copy_with
from tests.faults.mutants import MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_one_change_of_the_source_as_it_is(mutant):
    """A mutant that no longer fits proves nothing, and must not look as if it did."""
    assert (ROOT / mutant.file).read_text().count(mutant.right) == 1
    assert mutant.right != mutant.wrong


def test_at_least_ten_mutants():
    """As many as the platform promises."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 10


def test_a_mutant_without_its_text_is_an_error(tmp_path):
    """The source has changed, and nobody looked at the mutant."""
    stale = Mutant("gone", "policy_learner/archive/chain.py", "no such text in it", "")
    with pytest.raises(StaleMutant, match="0 times"):
        copy_with(stale, tmp_path)


def test_the_product_itself_is_not_caught():
    """A change of no meaning passes its seeds: what catches mutants is what they break."""
    harmless = Mutant(
        "harmless",
        "policy_learner/archive/chain.py",
        '_TEMPORARY = ".writing-"',
        '_TEMPORARY = ".writing-"  #',
    )
    verdict = judge(harmless, seeds=3)
    assert not verdict.caught
    assert "3 seeds" in verdict.told, verdict.told


def test_a_mutant_that_only_crashes_is_not_caught():
    """An error in the mutant's own text is no broken invariant."""
    broken = Mutant("broken", "policy_learner/join/positions.py", 'START = "0-0"', "START = nonsense")
    assert not judge(broken, seeds=3).caught


def test_a_seed_that_breaks_the_program_as_it_is_has_caught_nobody(monkeypatch):
    """The fault is the program's then, and the mutant may be as good as it."""
    broken = subprocess.CompletedProcess([], 1, "seed 7: I4 something is not in the log\n", "")
    monkeypatch.setattr(gate, "_simulated", lambda *_: broken)
    verdict = judge(MUTANTS[0])
    assert not verdict.caught
    assert verdict.told.startswith("seed 7 breaks the program as it is")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "caught"),
    [
        ('"better"', True),
        ('"better" if effective + 0 >= config.least_effective else "too few"', False),
        ("nonsense", False),
    ],
)
def test_tests_catch_by_their_assertions_only(wrong, caught):
    """Of one that names its tests: neither a change of no meaning is caught, nor one that crashes."""
    right = '"better" if effective >= config.least_effective else "too few"'
    contest, tests = "policy_learner/promotion/contest.py", "tests/policy_learner/test_contests.py"
    assert judge(Mutant("any", contest, right, wrong, tests=(tests, "too_few"))).caught == caught
