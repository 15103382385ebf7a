"""Run seeds of the simulation: ``python -m tests.faults.simulate --seeds 0:1000``.

Ends with 1 at the first seed that breaks an invariant, and says how to repeat it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from redis import Redis

import policy_learner
from decision_service.cli.store import start_store
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.scripts.call import NAMES, script_text
from sidecar.contracts.store import connect
from tests.faults.direct import DirectRedis
from tests.faults.simulation import Simulation, described

# In memory: no seed cuts the power, and the process run does.
FAST = Path("/dev/shm")


@contextlib.contextmanager
def store_in_memory() -> Iterator[tuple[Redis, Path]]:
    """A store of our own that does not write to disk, and a folder."""
    root = Path(tempfile.mkdtemp(prefix="sim-", dir=FAST if FAST.is_dir() else None))
    try:
        with start_store(DataFolder(root)) as server, connect(server.url) as client:
            client.config_set("appendonly", "no")
            for name in NAMES:  # else the first seed of a store has commands more than the others
                client.script_load(script_text(name))
            pa.set_cpu_count(1)  # files of three rows: more threads only wait for each other
            pa.set_io_thread_count(1)
            gc.disable()  # a tenth of the time; each seed ends with one that knows where to look
            yield DirectRedis.over(client), root
    finally:
        gc.enable()
        shutil.rmtree(root, ignore_errors=True)


def play(seed: int, client: Redis, root: Path) -> Simulation:
    """One seed, in a folder that is gone afterwards.

    Raises:
        AssertionError: it breaks an invariant; the message says which, and how to repeat it.
    """
    folder = root / f"seed-{seed}"
    sim = Simulation(seed, client, DataFolder(folder))
    logging.disable(logging.CRITICAL)
    try:
        sim.play()
    except Exception as error:
        command = f"python -m tests.faults.simulate --seeds {seed}:{seed + 1}"
        raise AssertionError(f"seed {seed}: {error}\n{described(sim)}\nrepeat it: {command}") from error
    finally:
        logging.disable(logging.NOTSET)
        shutil.rmtree(folder, ignore_errors=True)
        gc.collect(1)
    return sim


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:1000", help="first:end")
    parser.add_argument("--go-on", action="store_true", help="do not stop at the first broken invariant")
    arguments = parser.parse_args(argv)
    # A mutant lies in a copy of the tree: what is tested must be the copy.
    assert Path(policy_learner.__file__).is_relative_to(Path(__file__).parents[2]), policy_learner.__file__
    first, _, end = arguments.seeds.partition(":")
    began, totals, broken, played = time.monotonic(), Counter(), 0, 0
    with store_in_memory() as (client, root):
        for seed in range(int(first), int(end)):
            played += 1
            try:
                totals.update(play(seed, client, root).summary())
            except AssertionError as error:
                broken += 1
                print(error, flush=True)
                if not isinstance(error.__cause__, AssertionError):
                    traceback.print_exception(error.__cause__)
                if not arguments.go_on:
                    break
    took_s = time.monotonic() - began
    print(f"{played} seeds in {took_s:.1f} s, {broken} broken; {dict(totals)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
