"""Several trainers, each for some of the partitions, averaged now and then, beside the single one (ADR 0033).

Quality: the shop's sessions under a uniform policy, learnt by one trainer, and by several whose states are
brought together every so many examples; what the greedy policy on the weights is worth is known exactly, as
the share of what the best policy gains over the uniform one. Speed: the same with a process for each trainer
and the states in memory that they share.

How states are averaged: weight by weight, each trainer's in proportion to the sum of squared gradients that
it has seen of it; those sums are of all of them, the normaliser is the largest. Alekh Agarwal, Olivier
Chapelle, Miroslav Dudík, John Langford: A Reliable Effective Terascale Linear Learning System, 2014.

``python -m benchmarks.learner.averaging`` prints both tables; nothing of the product does this.
"""

from __future__ import annotations

import mmap
import multiprocessing
import random
import statistics
import time
from collections.abc import MutableSequence, Sequence
from multiprocessing.synchronize import Barrier

import numpy as np
import numpy.typing as npt
from rich.console import Console

from benchmarks.learning import CATALOGUE as WIDE
from benchmarks.learning import MODEL as WIDE_MODEL
from benchmarks.learning import stored_decision
from examples.shop.simulator import FOLDER, buys, sessions
from examples.shop.truth import scored_arms, scored_context, worth_of
from policy_learner.join.catalogues import Catalogues
from policy_learner.learning.arm_sets import ArmSets
from policy_learner.learning.trainer import Example, Trainer
from sidecar.contracts.application import Exploration, load_application
from sidecar.contracts.catalogue import encode_arms, load_catalogue
from sidecar.contracts.events import DecisionEvent, arms_of, decode_decision
from sidecar.contracts.weights import WeightsHeader, weights_of

Floats = npt.NDArray[np.float32]

APPLICATION = load_application(FOLDER)
CATALOGUE = load_catalogue(FOLDER, APPLICATION)
CHECKPOINTS = (1_000, 2_000, 4_000, 8_000, 16_000)
SEEDS = 5
EVERY = (64, 512, 4096)
"""Examples of all trainers between two averages: of these the first two are within 50 ms at full speed."""
TRAINERS = (2, 4, 8)
SPEED_EXAMPLES = 32_768
SPEED_BATCH = 256


def average(states: Sequence[Floats], before: Floats) -> Floats:
    """One state of several that began as ``before``: weight, squared gradients, normaliser, scratch."""
    together = states[0].copy()
    gained = [state[:, 1] - before[:, 1] for state in states]
    total = np.sum(gained, axis=0)
    moved = np.sum([g * (s[:, 0] - before[:, 0]) for g, s in zip(gained, states, strict=True)], axis=0)
    together[:, 0] = before[:, 0] + np.divide(moved, total, out=np.zeros_like(moved), where=total > 0)
    together[:, 1] = before[:, 1] + total
    together[:, 2] = np.max([state[:, 2] for state in states], axis=0)
    return together


def state_of(trainer: Trainer) -> Floats:
    """VW's own columns, to be read and written: (2 ** bits, 4)."""
    state: Floats = trainer._state[:, 0]
    return state


def quality(seed: int, trainers: int, every: int) -> list[float]:
    """One seed learnt by so many trainers: the share of the possible gain at each checkpoint."""
    examples = _shop(seed, CHECKPOINTS[-1])
    learning = [Trainer(APPLICATION.model) for _ in range(trainers)]
    before, shares = state_of(learning[0]).copy(), []
    for start in range(0, len(examples), every):
        some = examples[start : start + every]
        for n, trainer in enumerate(learning):
            mine = [one for at, one in enumerate(some, start) if at % trainers == n]
            if mine:
                trainer.learn(mine)
        if trainers > 1:
            before = average([state_of(trainer) for trainer in learning], before)
            for trainer in learning:
                state_of(trainer)[:] = before
        done = start + len(some)
        shares += [_share(learning[0]) for at in CHECKPOINTS if start < at <= done]
    return shares


def _share(trainer: Trainer) -> float:
    header = WeightsHeader(
        version=1,
        bits=APPLICATION.model.bits,
        interactions=APPLICATION.model.interactions,
        positions=("0-0",) * APPLICATION.partitions,
        trained_until_ms=0,
        epoch=1,
        examples=0,
    )
    return worth_of(weights_of(header, trainer.weights_values()), CATALOGUE).share_of_gain


def _shop(seed: int, count: int) -> list[Example]:
    rng, ids = random.Random(seed), tuple(arm.id for arm in CATALOGUE.arms)
    sets = ArmSets(Catalogues(lambda _: encode_arms(CATALOGUE.arms)))
    found = []
    for session in sessions(seed, 0, count):
        place = rng.randrange(len(ids))
        event = DecisionEvent(
            decision_id=f"d-{session.number}",
            session_id=session.session_id,
            unit_id=session.unit_id,
            decided_at_ms=0,
            horizon_ms=1000,
            source="model",
            policy="champion",
            model_version=0,
            catalogue=CATALOGUE.version,
            context=scored_context(session.shopper),
            outcomes={},
            arms=(),
            given_arms={},
            scores=b"",
            exploration=Exploration("uniform"),
            arm=ids[place],
            arm_index=place,
            propensity=1 / len(ids),
            seed="1",
            arm_features=scored_arms(session.shopper.segment, ids),
        )
        found.append(Example(event, sets.of(event), float(buys(session, CATALOGUE.arms[place]))))
    return found


def speed(trainers: int, every: int) -> tuple[float, float]:
    """Examples a second of all trainers together, and what they would be with a free core for each.

    Checked and as text before the clock starts. The second figure is by the processor time that they take.
    """
    columns = 4
    size = columns << WIDE_MODEL.bits
    shared = np.frombuffer(mmap.mmap(-1, (trainers + 1) * size * 4), np.float32).reshape(
        trainers + 1, -1, columns
    )
    forks = multiprocessing.get_context("fork")
    start, meet = forks.Barrier(trainers + 1), forks.Barrier(trainers)
    spent = forks.Array("d", trainers)
    workers = [
        forks.Process(target=_work, args=(n, trainers, every, shared, start, meet, spent))
        for n in range(trainers)
    ]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    return SPEED_EXAMPLES / (time.perf_counter() - began), SPEED_EXAMPLES / max(spent)


def _work(
    n: int,
    trainers: int,
    every: int,
    shared: Floats,
    begin: Barrier,
    meet: Barrier,
    spent: MutableSequence[float],
) -> None:
    """One process: learn its share, bring the states together (each a slice of them), go on from there."""
    trainer, mine = Trainer(WIDE_MODEL), range(n, SPEED_EXAMPLES, trainers)
    texts = [trainer._checked(_wide(number)) for number in mine]
    rows = slice(n * len(shared[0]) // trainers, (n + 1) * len(shared[0]) // trainers)
    begin.wait()
    began = time.process_time()
    share = max(1, every // trainers)
    for start in range(0, len(texts), share):
        for at in range(start, min(start + share, len(texts)), SPEED_BATCH):
            trainer.learn_texts(texts[at : min(at + SPEED_BATCH, start + share)])
        if trainers == 1:
            continue
        shared[n] = state_of(trainer)
        meet.wait()
        shared[-1][rows] = average([one[rows] for one in shared[:-1]], shared[-1][rows])
        meet.wait()
        state_of(trainer)[:] = shared[-1]
    spent[n] = time.process_time() - began


def _wide(number: int) -> Example:
    payload, reward = stored_decision(number, random.Random(number))
    event = decode_decision(payload)
    return Example(event, arms_of(event, WIDE), reward)


def main() -> None:
    """Both tables."""
    tell = Console(highlight=False, soft_wrap=True).print
    tell(f"share of the possible gain, mean of {SEEDS} seeds, after {CHECKPOINTS} examples")
    for trainers, every in [(1, EVERY[1]), *((n, k) for n in TRAINERS for k in EVERY)]:
        runs = [quality(seed, trainers, every) for seed in range(SEEDS)]
        means = [f"{statistics.mean(column):.3f}" for column in zip(*runs, strict=True)]
        tell(f"{trainers} trainers, averaged every {every}: {' '.join(means)}")
    tell("examples a second, median of 3: here, and with a free core for each")
    for trainers, every in [(1, EVERY[1]), *((n, k) for n in TRAINERS[:2] for k in EVERY)]:
        speeds = [speed(trainers, every) for _ in range(3)]
        here, free = (statistics.median(column) for column in zip(*speeds, strict=True))
        tell(f"{trainers} trainers, averaged every {every}: {here:,.0f}; {free:,.0f}")


if __name__ == "__main__":
    main()
