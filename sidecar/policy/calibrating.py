"""Calibrator and ECDF kept up to date: the latest examples, and the curves fitted on them now and then.

Which examples a fit rests on, and when there is one, follow from the number of examples alone. So however
they come in parts, and wherever a restart falls, the same examples give the same curves, to the last bit.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from sidecar.contracts.calibration import Calibration
from sidecar.policy.curves import calibrator_of, ecdf_of

Floats = npt.NDArray[np.float64]

WINDOW = 8_192
"""Examples of a fit. Fewer follow a model that still learns more closely; more are less noisy where rewards
are rare: docs/adr/0036 has both measured."""
FIRST_FIT = 64
FIT_EVERY = 1_024
"""From the first fit on at every doubling, and from here on at every multiple."""
_COLUMNS = 3


class _State(Struct):
    """All that a restart needs."""

    seen: int
    """Examples since the beginning."""
    rows: bytes
    """float32 ``(3, kept)``: score, weight, weight times reward, each in its place ``number % WINDOW``."""
    current: Calibration | None


class Calibrating:
    """A window of examples and what it says. Which curves there are is settled in ``observe`` alone."""

    def __init__(self) -> None:
        self._rows = np.zeros((_COLUMNS, WINDOW), "<f4")
        self.seen = 0
        """Examples observed; those that a float32 cannot hold are none."""
        self._current: Calibration | None = None
        self._to_fit: npt.NDArray[np.float32] | None = None
        """The rows of the last fit, while nobody has asked for it."""

    @property
    def current(self) -> Calibration | None:
        """The last fit; None until there are enough examples. Fits that nobody asks for are not made."""
        if self._to_fit is not None:
            self._current, self._to_fit = _fitted(self._to_fit), None
        return self._current

    def observe(self, scores: Floats, rewards: Floats, weights: Floats) -> None:
        """Take note of examples, each scored before it was learnt from.

        Args:
            scores: of the shown arm, ``(n_rows,)``.
            rewards: what came of it.
            weights: how many decisions each stands for: 1 / inclusion probability.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            rows = np.stack((scores, weights, weights * rewards)).astype("<f4")
        rows = rows[:, np.isfinite(rows).all(axis=0) & (rows[1] > 0.0)]
        rows[0] += np.float32(0.0)  # -0.0 and 0.0 are one score
        last = last_fit(self.seen + rows.shape[1])
        if last > self.seen:
            first = last - self.seen
            self._keep(rows[:, :first])
            self._to_fit = self._kept.copy()
            rows = rows[:, first:]
        self._keep(rows)

    def state(self) -> bytes:
        """Everything, for a checkpoint."""
        return msgspec.msgpack.encode(_State(self.seen, self._kept.tobytes(), self.current))

    @classmethod
    def of(cls, state: bytes) -> Calibrating:
        """As it was when :meth:`state` was called.

        Raises:
            ValueError: ``state`` is none.
        """
        found, calibrating = msgspec.msgpack.decode(state, type=_State), cls()
        kept = np.frombuffer(found.rows, "<f4").reshape(_COLUMNS, min(found.seen, WINDOW))
        calibrating._rows[:, : kept.shape[1]] = kept
        calibrating.seen, calibrating._current = found.seen, found.current
        return calibrating

    def _keep(self, rows: npt.NDArray[np.float32]) -> None:
        numbers = np.arange(self.seen, self.seen + rows.shape[1])[-WINDOW:]
        self._rows[:, numbers % WINDOW] = rows[:, -len(numbers) :] if len(numbers) else rows
        self.seen += rows.shape[1]

    @property
    def _kept(self) -> npt.NDArray[np.float32]:
        return self._rows[:, : min(self.seen, WINDOW)]


def _fitted(rows: npt.NDArray[np.float32]) -> Calibration:
    scores, weights, moments = rows[0], rows[1].astype(np.float64), rows[2].astype(np.float64)
    return Calibration(calibrator_of(scores, weights, moments), ecdf_of(scores, weights), rows.shape[1])


def last_fit(seen: int) -> int:
    """The last number of examples, up to ``seen``, at which there is a fit; 0 when there is none.

    >>> [last_fit(seen) for seen in (63, 64, 200, 1023, 1024, 1500, 3000)]
    [0, 64, 128, 512, 1024, 1024, 2048]
    """
    if seen >= FIT_EVERY:
        return seen - seen % FIT_EVERY
    return 1 << (seen.bit_length() - 1) if seen >= FIRST_FIT else 0


def next_fit(seen: int) -> int:
    """The next number of examples, above ``seen``, at which there is a fit.

    >>> [next_fit(seen) for seen in (0, 64, 200, 1024, 1500)]
    [64, 128, 256, 2048, 2048]
    """
    if seen >= FIT_EVERY:
        return (seen // FIT_EVERY + 1) * FIT_EVERY
    return max(FIRST_FIT, 1 << seen.bit_length())
