"""Old weights explore more, and older ones are not used."""

from __future__ import annotations

import pytest

from decision_service.errors import SidecarFailed
from decision_service.settings import ServiceSettings
from decision_service.staleness import Staleness
from sidecar.contracts.application import Exploration

NOW_MS = 1_700_000_000_000
CHOSEN = Exploration(epsilon=0.1)


def aged(age_s: float, **settings: float) -> Staleness:
    return Staleness(ServiceSettings(**settings), lambda: NOW_MS - round(age_s * 1000), lambda: NOW_MS)


def test_stale_weights_leave_every_arm_a_chance():
    """Past the age only, and never less than the application chose itself."""
    settings = {"weights_stale_s": 60.0, "weights_stale_floor": 0.02}

    assert aged(59.0, **settings).explores(CHOSEN) == CHOSEN
    assert aged(61.0, **settings).explores(CHOSEN) == Exploration(epsilon=0.1, floor=0.02)
    chosen = Exploration(floor=0.05)
    assert aged(61.0, **settings).explores(chosen) == chosen


def test_expired_weights_are_not_used():
    """The backstop answers; fresh ones are used again."""
    aged(59.0, weights_expire_s=60.0).check()
    with pytest.raises(SidecarFailed, match="61 s old"):
        aged(61.0, weights_expire_s=60.0).check()


def test_without_a_limit_no_age_matters():
    """Both are off by default; weights that were never trained are of no age."""
    aged(1e9).check()
    assert aged(1e9).explores(CHOSEN) == CHOSEN
    never = Staleness(ServiceSettings(weights_expire_s=1.0), lambda: 0, lambda: NOW_MS)
    never.check()
    assert never.age_s() == 0.0
