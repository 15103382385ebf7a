"""What obp 0.5.7 computes, transcribed into numpy: the library itself installs on no present Python.

Each estimator takes the steps of its ``_estimate_round_rewards`` and of the input check before them, over
arrays of (rows, arms, 1), one estimator after the other, as ``OffPolicyEvaluation`` calls them. Yuta Saito et
al., github.com/st-tech/zr-obp, obp/ope/estimators.py and obp/utils.py, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

Floats = npt.NDArray[np.float64]


class Feedback(NamedTuple):
    """What obp has to hold."""

    action: npt.NDArray[np.int64]
    reward: Floats
    pscore: Floats
    action_dist: Floats
    """(n, arms, 1)."""
    q_hat: Floats
    """(n, arms, 1)."""

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """0 to n - 1."""
        return np.arange(len(self.reward))

    @property
    def position(self) -> npt.NDArray[np.int64]:
        """There is one."""
        return np.zeros(len(self.reward), dtype=np.int64)


def load(path: Path) -> Feedback:
    """From the Parquet file with lists."""
    table = pq.read_table(path)
    action, reward, pscore = (table[name].to_numpy() for name in ("action", "reward", "propensity"))
    lists = (table[name].combine_chunks().flatten().to_numpy() for name in ("pi_e", "q_hat"))
    return Feedback(action, reward, pscore, *(flat.reshape(len(reward), -1, 1) for flat in lists))


def estimate(feedback: Feedback) -> dict[str, float]:
    """Estimator to value."""
    found = {}
    for name, one in ESTIMATORS.items():
        _check(feedback)
        found[name] = float(one(feedback).mean())
    return found


def _check(feedback: Feedback) -> None:
    if not np.allclose(feedback.action_dist.sum(axis=1), 1):
        raise ValueError("action_dist must be a probability distribution")
    if np.any(feedback.pscore <= 0) or feedback.action.min() < 0:
        raise ValueError("pscore must be positive, action not negative")


def _weights(of: Feedback) -> Floats:
    weights: Floats = of.action_dist[of.rows, of.action, of.position] / of.pscore
    return weights


def _baseline(of: Feedback) -> Floats:
    q_hat, pi_e = (table[of.rows, :, of.position] for table in (of.q_hat, of.action_dist))
    baseline: Floats = np.average(q_hat, weights=pi_e, axis=1)
    return baseline


def _residual(of: Feedback) -> Floats:
    residual: Floats = of.reward - of.q_hat[of.rows, of.action, of.position]
    return residual


def _snips(of: Feedback) -> Floats:
    weights = _weights(of)
    return of.reward * weights / weights.mean()


def _sndr(of: Feedback) -> Floats:
    weights = _weights(of)
    return _baseline(of) + weights * _residual(of) / weights.mean()


ESTIMATORS: dict[str, Callable[[Feedback], Floats]] = {
    "ips": lambda of: of.reward * _weights(of),
    "snips": _snips,
    "dm": _baseline,
    "dr": lambda of: _baseline(of) + _weights(of) * _residual(of),
    "sndr": _sndr,
}
