"""Many models on the same rows: what each further one costs the sidecar, beside scoring with it alone.

64 rows of 10 context features, 20 arms with 3 features of their own, ``ca`` interactions, 18 bits. Processor
time of this process, so that what else runs does not count.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.figures import Figure, Row
from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.weights import Weights, WeightsHeader
from sidecar.contracts.wire import ScoreRequest, ScoreRow
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.panel import panels_of
from sidecar.policy.pipeline import score

N_ROWS, N_ARMS, N_FEATURES, BITS = 64, 20, 10, 18
COUNTS = (3, 100)
TRIES = 5
SHOP = catalogue_of(
    tuple(Arm(f"sku-{i}", {"price": float(i), "kind": f"k{i % 4}", "new": i % 2 == 0}) for i in range(N_ARMS))
)


def figures() -> Iterator[Row]:
    """Microseconds of processor time a row: all versions in one product, beside one call for each."""
    tables = ArmTables()
    tables.of(SHOP)
    asked = ScoreRequest(_rows(), (Exploration(),), SHOP.version)
    alone = _weights(1)
    one_us = _us_a_row(lambda: score(asked, alone, tables))
    for count in COUNTS:
        members = [_weights(version) for version in range(2, 2 + count)]
        panels = panels_of(members)
        all_of_them = ScoreRequest(
            asked.rows, asked.explorations, SHOP.version, versions=tuple(range(2, 2 + count))
        )
        together_us = _us_a_row(lambda all_of_them=all_of_them, panels=panels: score(  # type: ignore[misc]
            all_of_them, alone, tables, panels=panels
        ))  # fmt: skip
        separate_us = _us_a_row(lambda members=members: [score(asked, each, tables) for each in members])  # type: ignore[misc]
        yield Figure(
            f"models.panel_{count}",
            together_us - one_us,
            "µs a row",
            separate_us,
            f"{count} score calls",
            at_most=1.0,
            facts={"rows": N_ROWS, "arms": N_ARMS, "bits": BITS, "live_alone_us": round(one_us, 1)},
        )


def _rows() -> tuple[ScoreRow, ...]:
    rng = random.Random(7)
    return tuple(
        ScoreRow({f"f{i}": float(rng.randrange(9)) for i in range(N_FEATURES)}) for _ in range(N_ROWS)
    )


def _weights(version: int) -> Weights:
    header = WeightsHeader(
        version=version,
        bits=BITS,
        interactions=("ca",),
        positions=("0-0",),
        trained_until_ms=1,
        epoch=1,
        examples=9,
    )
    return Weights(header, np.random.default_rng(version).normal(size=1 << BITS).astype(np.float32))


def _us_a_row(work: Callable[[], object]) -> float:
    """Median of some tries, after one to warm up."""
    work()
    took = []
    for _ in range(TRIES):
        started = time.process_time()
        work()
        took.append((time.process_time() - started) * 1e6 / N_ROWS)
    return statistics.median(took)
