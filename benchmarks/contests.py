"""How many decisions it takes until a better challenger is promoted: ``python -m benchmarks.contests``.

Contests as the learner keeps them, over decisions that are drawn here: ten arms, each model is sure of
another one, and the challenger's earns more. The table of ``docs/promotion.md``.
"""

from __future__ import annotations

import argparse
import math
from statistics import median

import numpy as np
import numpy.typing as npt

from policy_learner.promotion.contest import Laps, Span, count, standing
from policy_learner.promotion.heard import Heard
from sidecar.contracts.promotion import PromotionConfig
from sidecar.policy.evidence import log_evidence

Places = npt.NDArray[np.int64]

SHARES = (0.05, 0.1, 0.3, 0.5)
CASES = ((0.05, 0.5), (0.05, 1.0), (0.2, 0.2), (0.2, 0.5))
"""Mean reward of what the champion prefers, and by which share of it the challenger's earns more."""
N_ARMS, GREEDY, MOST = 10, 0.8 * 0.99, 400_000
CONFIG, UNIT = PromotionConfig(), Span(0.0, 1.0)


def decisions_needed(share: float, reward: float, lift: float, seed: int) -> int:
    """Until the verdict is ``better``; looked at some thirty times."""
    rng, laps = np.random.default_rng(seed), Laps()
    guessed = 10 * reward / share / (GREEDY * reward * lift) ** 2
    size = max(100, min(2_000, int(guessed / 30)))
    for so_far in range(size, MOST, size):
        count(laps, _decisions(rng, size, share, reward, lift), 1, 0, UNIT, CONFIG.lap)
        evidence = max(log_evidence(laps.whole.gain), log_evidence(laps.lap.gain))
        if evidence < -math.log(CONFIG.error / 2):
            continue
        if standing(laps, ("champion", "challenger"), CONFIG, UNIT).verdict == "better":
            return so_far
    return MOST


def _decisions(rng: np.random.Generator, size: int, share: float, reward: float, lift: float) -> Heard:
    rows, theirs = np.arange(size), rng.integers(N_ARMS, size=size)
    ours = (theirs + rng.integers(1, N_ARMS, size=size)) % N_ARMS
    pmfs = np.stack([_pmfs(theirs), _pmfs(ours)])
    chances = (1 - share) * pmfs[0] + share * pmfs[1]
    shown = (rng.random(size)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(max=N_ARMS - 1)
    earned = (rng.random(size) < reward * np.where(shown == ours, 1 + lift, 1.0)).astype(np.float64)
    scores, ones = pmfs.astype(np.float32), np.ones(size)
    return Heard((), scores, pmfs, chances, (1, 1), shown, earned, chances[rows, shown], ones)


def _pmfs(best: Places) -> npt.NDArray[np.float64]:
    pmfs = np.full((len(best), N_ARMS), (1 - GREEDY) / N_ARMS)
    pmfs[np.arange(len(best)), best] += GREEDY
    return pmfs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=12)
    runs = parser.parse_args().runs
    print("share", *[f"{reward:.0%} +{lift:.0%}" for reward, lift in CASES], sep="\t")
    for share in SHARES:
        found = [[decisions_needed(share, *case, seed) for seed in range(runs)] for case in CASES]
        print(f"{share:.0%}", *[f"{median(one):,.0f}" for one in found], sep="\t", flush=True)


if __name__ == "__main__":
    main()
