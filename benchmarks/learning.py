"""The trainer on stored decisions, beside VW's own command-line driver on the same examples as dsjson."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, median_of
from benchmarks.learner.workload import dsjson
from policy_learner.learning.trainer import Example, Trainer
from sidecar.contracts.application import Arm, Exploration, Features
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.events import DecisionEvent, arms_of, decode_decision, encode_decision
from sidecar.contracts.model_section import ModelConfig

EXAMPLES = 20_000
ARMS = 20
CONTEXT_FEATURES = 10
ROUNDS = 3
MODEL = ModelConfig(interactions=("ca",))
CATALOGUE = catalogue_of(
    tuple(
        Arm(f"sku-{n}", {"category": f"c{n % 5}", "price": 1.0 + n, "brand": f"b{n % 7}"})
        for n in range(ARMS)
    )
)


def figures() -> list[Figure]:
    """Examples per second from stored bytes to updated weights; the driver reads its file with a thread."""
    stored = [stored_decision(n, random.Random(n)) for n in range(EXAMPLES)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "examples.dsjson"
        path.write_text(
            "".join(dsjson(decode_decision(payload), CATALOGUE, reward) for payload, reward in stored)
        )
        pairs = [(_driver(path), _ours(stored)) for _ in range(ROUNDS)]
    driver, ours = (EXAMPLES / median_of([pair[i] for pair in pairs]) for i in (0, 1))
    return [
        Figure(
            "learner.examples_per_s", ours, "examples/s", driver, "VW's command-line driver, same examples"
        )
    ]


def _ours(stored: list[tuple[bytes, float]]) -> float:
    trainer = Trainer(MODEL)
    began = time.perf_counter()
    for start in range(0, len(stored), 256):
        events = [(decode_decision(payload), reward) for payload, reward in stored[start : start + 256]]
        trainer.learn([Example(event, arms_of(event, CATALOGUE), reward) for event, reward in events])
    return time.perf_counter() - began


def _driver(path: Path) -> float:
    """Seconds of the driver's own work: a process of its own, timed from inside, without its imports."""
    program = (
        "import sys, time; from vowpal_wabbit_next import run_cli_driver\n"
        "began = time.perf_counter(); run_cli_driver(sys.argv[1:]); print(time.perf_counter() - began)"
    )
    options = [
        "--dsjson",
        "-d",
        str(path),
        "--cb_adf",
        "-b",
        str(MODEL.bits),
        "-q",
        "ca",
        "--quiet",
        "--chain_hash",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *options], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def stored_decision(n: int, rng: random.Random) -> tuple[bytes, float]:
    """A decision over the catalogue as it is stored, and its reward."""
    context: Features = {f"f{k}": f"v{rng.randrange(8)}" for k in range(CONTEXT_FEATURES - 2)}
    context |= {"hour": float(rng.randrange(24)), "age": rng.random()}
    arm = rng.randrange(ARMS)
    event = DecisionEvent(
        decision_id=f"0-{n:027x}",
        session_id=f"s{n}",
        unit_id=f"s{n}",
        decided_at_ms=n,
        horizon_ms=1000,
        source="model",
        policy="champion",
        model_version=1,
        catalogue=CATALOGUE.version,
        context=context,
        outcomes={},
        arms=(),
        given_arms={},
        scores=b"\0" * (4 * ARMS),
        exploration=Exploration(),
        arm=CATALOGUE.arms[arm].id,
        arm_index=arm,
        propensity=1 / ARMS,
        seed="1",
    )
    return encode_decision(event), float(rng.random() < 0.1)
