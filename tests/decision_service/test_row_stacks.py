"""Decisions scored together have the probabilities and draws that each has alone, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from decision_service.row_stacks import rows_of
from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import BadExploration
from sidecar.policy.exploration import pmf_of
from sidecar.policy.sampling import draw

HOWS = (
    Exploration(epsilon=0.2, control_share=0.01),
    Exploration("softmax", temperature=0.3),
    Exploration("squarecb", gamma=40.0, floor=0.01),
    Exploration("uniform"),
)


@pytest.mark.parametrize("how", HOWS, ids=lambda how: how.scheme)
@pytest.mark.parametrize("seed", range(5))
def test_rows_are_what_they_are_alone(how: Exploration, seed: int) -> None:
    """Of 2 and of 20 arms side by side, ties included; and every seed draws the same arm."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(-3, 4, size=rng.choice((2, 20))).astype("<f4") / 4 for _ in range(12)]
    for scores, row in zip(rows, rows_of([one.tobytes() for one in rows]), strict=True):
        if row is None:  # the only one of its length
            continue
        alone = pmf_of(scores, how)
        assert row.scores.tobytes() == scores.tobytes()
        for number in rng.integers(0, 2**63, size=50).tolist():
            pmf, place = row.drawn(how, number)
            assert pmf.tobytes() == alone.tobytes()
            assert place == draw(alone, number)


def test_one_that_is_not_finite_leaves_all_to_be_looked_at_alone() -> None:
    """So does one that is torn, empty, or the only one of its length: nobody suffers from another's row."""
    good, bad = np.ones(3, "<f4").tobytes(), np.array([1.0, np.nan, 2.0], "<f4").tobytes()
    assert rows_of([good, bad]) == [None, None]
    assert rows_of([good[:-1], good[:-1]]) == [None, None]
    assert rows_of([b"", b"", good]) == [None, None, None]
    assert rows_of([]) == []
    first, second = rows_of([good, good])
    assert (first and first.place, second and second.place) == (0, 1)


def test_an_exploration_that_is_none_is_refused_as_ever() -> None:
    """Each time: nothing half made is kept."""
    row = rows_of([np.ones(3, "<f4").tobytes()] * 2)[0]
    assert row is not None
    for _ in range(2):
        with pytest.raises(BadExploration):
            row.drawn(Exploration(epsilon=2.0), 0)
