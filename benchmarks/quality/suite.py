"""``make bench ARGS=quality``: what is lost while learning, beside VW's own contextual bandit.

Regret of a round is what the best arm earns on average, less what the policy does over its own draw: the
truth is known, so no luck is in it but that of what was learnt. Both sides see the same rounds, explore as
much, draw with the same luck, and learn after the same delay: a batch, ours through store, learner, gate and
published weights. What is left to differ is the order within a batch: ours learns partition by partition.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import redis

from benchmarks.figures import Figure
from benchmarks.quality import drift
from benchmarks.quality.lockstep import SECRET, Lockstep, decision_id_of
from benchmarks.quality.regret import mean_of, ratio_of
from benchmarks.quality.worlds import WORLDS, Round, World
from benchmarks.quality.yardstick import Yardstick
from decision_service.cli.store import start_store
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import connect
from sidecar.contracts.wire import ScoreRow
from sidecar.policy.sampling import draw, seed_of

MOST = 1.05
"""What the interval of the ratio must stay below."""
FAILS = 0.05
"""Chance that any of the intervals misses its truth; each takes an equal part (Bonferroni)."""


class Regret(NamedTuple):
    """Of one run, summed over its rounds."""

    ours: float
    theirs: float


DRIFT_SEEDS = 10
REGAINED = 0.8
"""What the interval of the share that learning on regains must stay above."""


def figures() -> Iterator[Figure]:
    """A figure for each world, the upper end of the ratio's interval; then what is regained after a swap."""
    with store() as (client, folder):
        for name, make in WORLDS.items():
            world = make()
            runs = [run(world, client, folder / f"{name}-{seed}", seed) for seed in range(world.seeds)]
            yield figure_of(name, world, runs)
        for optimizer, at_least in (("coin", REGAINED), ("adaptive", None)):
            shop = drift.drifting_shop(optimizer)
            drifts = [
                drift.run(shop, client, DataFolder(folder / f"{optimizer}-{seed}"), seed)
                for seed in range(DRIFT_SEEDS)
            ]
            yield drift_figure(optimizer, drifts, at_least)


def figure_of(name: str, world: World, runs: list[Regret]) -> Figure:
    """The runs of a world as a figure."""
    ours, theirs = ([one[side] for one in runs] for side in (0, 1))
    fails = FAILS / len(WORLDS)
    ratio = ratio_of(ours, theirs, fails)
    facts = {
        "regret_ratio": round(ratio.value, 4),
        "interval": [round(ratio.low, 4), round(ratio.high, 4)],
        "interval_fails": fails,
        "regret": round(float(np.mean(ours)), 2),
        "yardstick_regret": round(float(np.mean(theirs)), 2),
        "seeds": len(runs),
        "rounds": world.length,
        "delay": world.delay,
    }
    what = "x of VW's regret at most (upper end of the interval)"
    return Figure(
        f"quality.regret.{name}",
        ratio.high,
        what,
        1.0,
        "VW's own --cb_explore_adf",
        at_most=MOST,
        facts=facts,
    )


def drift_figure(optimizer: str, drifts: list[drift.Drift], at_least: float | None) -> Figure:
    """What learning on brought back of what the swap took: the lower end of the mean's interval."""
    mean = mean_of([one.regained for one in drifts], FAILS)
    facts = {
        "regained": round(mean.value, 3),
        "interval": [round(mean.low, 3), round(mean.high, 3)],
        "interval_fails": FAILS,
        "worst": round(min(one.regained for one in drifts), 3),
        "before": round(fmean(one.before for one in drifts), 4),
        "frozen": round(fmean(one.frozen for one in drifts), 4),
        "online": round(fmean(one.online for one in drifts), 4),
        "seeds": len(drifts),
        "sessions": drift.SESSIONS,
    }
    what = "of the gap at least (lower end of the interval)"
    return Figure(
        f"quality.drift.{optimizer}", mean.low, what, 1.0, "the gap", at_least=at_least, facts=facts
    )


def run(world: World, client: redis.Redis, folder: Path, seed: int) -> Regret:
    """Both sides through the same rounds."""
    rounds = list(world.rounds(seed, world.length))
    client.flushall()
    try:
        return Regret(_ours(world, client, DataFolder(folder), seed, rounds), _theirs(world, seed, rounds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ours(world: World, client: redis.Redis, data: DataFolder, seed: int, rounds: list[Round]) -> float:
    platform = Lockstep(client, data, world.application, world.catalogue, run=seed)
    regret = 0.0
    for batch in _batches(rounds, world.delay):
        rows = [ScoreRow(one.context, arm_features=one.arm_features) for one in batch]
        shown = platform.round(rows, [one.heard for one in batch])
        regret += sum(max(r.expected) - float(s.pmf @ r.expected) for r, s in zip(batch, shown, strict=True))
    return regret


def _theirs(world: World, seed: int, rounds: list[Round]) -> float:
    model, partitions = Yardstick(world), world.application.partitions
    regret, number = 0.0, 0
    for batch in _batches(rounds, world.delay):
        shown = []
        for one in batch:
            pmf = model.pmf(one)
            place = draw(pmf, seed_of(decision_id_of(seed, number, partitions), SECRET))
            regret += max(one.expected) - float(pmf @ one.expected)
            shown.append((one, place, float(pmf[place])))
            number += 1
        for decided in shown:
            model.learn(*decided)
    return regret


@contextmanager
def store() -> Iterator[tuple[redis.Redis, Path]]:
    """A store of our own that does not write to disk (no power fails here), and a folder."""
    root = Path(tempfile.mkdtemp(prefix="quality-"))
    try:
        with start_store(DataFolder(root)) as server, connect(server.url, timeout_s=10.0) as client:
            client.config_set("appendonly", "no")
            yield client, root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _batches(rounds: list[Round], size: int) -> Iterator[list[Round]]:
    for start in range(0, len(rounds), size):
        yield rounds[start : start + size]
