"""Intervals hold the truth as often as they say: simulated logs with known truth.

The quick ones have 300 logs and bounds that an interval of 93 to 97 % fails with a chance below 1e-3; the
slow ones 2,000 logs and the bounds that are promised. Seeds are fixed.
"""

from __future__ import annotations

import numpy as np
import pytest

from offline_eval.diagnostics import mean_weight_z
from tests.offline_eval.simulated import (
    OFFSETS,
    Share,
    by_user,
    draw,
    independent,
    looked_at,
    repeated,
    world,
)

EXACT = ("on_policy", "ips", "snips", "dr", "sndr", "snips - on_policy")
QUICK, FULL = (0.90, 0.985), (0.93, 0.97)


def check(shares: dict[str, Share], names: list[str], bounds: tuple[float, float]) -> None:
    wrong = {name: shares[name] for name in names if not bounds[0] <= shares[name].covered <= bounds[1]}
    assert not wrong


@pytest.mark.parametrize("offset", OFFSETS)
def test_independent_rows(offset):
    """Gaussian and delta intervals, those by bucket, the bootstrap, and the conservative ones: 300 logs."""
    shares = repeated(offset, 300, 12, independent(1_000, resamples=200))

    check(shares, [f"{name}{kind}" for name in EXACT for kind in ("", "/cluster", "/bootstrap")], QUICK)
    check(shares, ["beta_ips"], (0.89, 0.985))
    check(shares, [name for name in shares if name.endswith(("bernstein", "pearson"))], (0.95, 1.0))


@pytest.mark.slow
@pytest.mark.parametrize("offset", OFFSETS)
def test_independent_rows_two_thousand_times(offset):
    """93 to 97 %, beta* at least 92; widths within 10 % of each other; conservative ones at least 95 %."""
    shares = repeated(offset, 2_000, 13, independent(1_000, resamples=200))

    check(shares, [f"{name}{kind}" for name in EXACT for kind in ("", "/cluster", "/bootstrap")], FULL)
    check(shares, [f"beta_ips{kind}" for kind in ("", "/cluster", "/bootstrap")], (0.92, 0.97))
    check(shares, [name for name in shares if name.endswith(("bernstein", "pearson"))], (0.95, 1.0))
    for name in (*EXACT, "beta_ips"):
        for kind in ("/cluster", "/bootstrap"):
            assert shares[f"{name}{kind}"].width == pytest.approx(shares[name].width, rel=0.1)


@pytest.mark.parametrize("offset", OFFSETS)
def test_users_with_many_rows(offset):
    """Thirty rows a user: by cluster intervals are right, and plain ones far too narrow."""
    shares = repeated(offset, 300, 14, by_user(150, 30))

    check(shares, [f"{name}/cluster" for name in EXACT], QUICK)
    assert shares["snips/plain"].covered < 0.6
    assert shares["snips/cluster"].width > 2 * shares["snips/plain"].width


@pytest.mark.slow
@pytest.mark.parametrize("offset", OFFSETS)
def test_users_with_many_rows_two_thousand_times(offset):
    """93 to 97 % by cluster and by bootstrap."""
    shares = repeated(offset, 2_000, 15, by_user(250, 20, resamples=200))

    check(shares, [f"{name}{kind}" for name in EXACT for kind in ("/cluster", "/bootstrap")], FULL)


@pytest.mark.parametrize("offset", OFFSETS)
def test_fifty_looks(offset):
    """The sequence is wrong at any of 50 looks in at most 5 % of 100 logs; a plain interval in far more."""
    shares = repeated(offset, 100, 16, looked_at(50, 100))

    check(shares, ["ips/sequence", "snips/sequence", "dr/sequence"], (0.95, 1.0))
    assert shares["snips/plain"].covered < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("offset", OFFSETS)
def test_fifty_looks_two_thousand_times(offset):
    """At most 5 % of 2,000 logs ever have a wrong look."""
    shares = repeated(offset, 2_000, 17, looked_at(50, 100))

    check(shares, ["ips/sequence", "snips/sequence", "dr/sequence"], (0.95, 1.0))


def test_the_mean_weight_is_a_test_of_its_size_and_has_power():
    """Right propensities: |z| > 1.96 in about 5 % of 2,000 logs. One in ten halved: found in over 90 %."""
    one, random = world(0.0), np.random.default_rng(18)
    right = [draw(one, 1_000, random) for _ in range(2_000)]
    wrong = [draw(one, 4_000, random) for _ in range(200)]
    halved = np.arange(4_000) % 10 == 0

    false_alarms = np.mean([abs(mean_weight_z(rows.sums())) > 1.96 for rows in right])
    found = np.mean(
        [
            abs(mean_weight_z(rows._replace(propensity=rows.propensity / (1 + halved)).sums())) > 1.96
            for rows in wrong
        ]
    )

    assert 0.035 <= false_alarms <= 0.065
    assert found > 0.9
