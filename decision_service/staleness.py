"""Old weights: first more is explored, then they are not used any more.

A model that learns nothing new grows wrong without noticing. Past a first age every arm keeps a small chance,
so that the log can tell how wrong; past a second one the backstop answers, whose probabilities are true
whatever the world does. Both are off unless an application sets them: it knows how long its silences are.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from decision_service.errors import SidecarFailed
from decision_service.settings import ServiceSettings
from sidecar.contracts.application import Exploration


class Staleness:
    """How old the weights are, and what follows from it.

    Args:
        settings: the two ages, and the floor between them.
        trained_until_ms: when the last example that they know was made, as the sidecar said it last; 0: it
            has not, or they are of no age.
        now_ms: wall clock.
    """

    def __init__(
        self, settings: ServiceSettings, trained_until_ms: Callable[[], int], now_ms: Callable[[], int]
    ) -> None:
        self._stale_s, self._expired_s = settings.weights_stale_s, settings.weights_expire_s
        self._floor = settings.weights_stale_floor
        self._trained_until_ms, self._now_ms = trained_until_ms, now_ms

    def age_s(self) -> float:
        """Seconds since the last example that the weights know."""
        trained_until_ms = self._trained_until_ms()
        return max(self._now_ms() - trained_until_ms, 0) / 1000 if trained_until_ms else 0.0

    def explores(self, exploration: Exploration) -> Exploration:
        """With a floor below every arm if the weights are stale."""
        if not self._stale_s or exploration.floor >= self._floor or self.age_s() <= self._stale_s:
            return exploration
        return msgspec.structs.replace(exploration, floor=self._floor)

    def check(self) -> None:
        """See that scores may be used.

        Raises:
            SidecarFailed: the weights are too old.
        """
        if self._expired_s and self.age_s() > self._expired_s:
            raise SidecarFailed(f"the weights are {self.age_s():.0f} s old, and may be {self._expired_s:g}")
