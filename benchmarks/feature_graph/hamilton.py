"""Apache Hamilton's async driver on the same graph, where it is installed."""

from __future__ import annotations

import gc
import importlib.util
from typing import Any

from benchmarks.feature_graph.g32 import GIVEN, GOALS, Run


def installed() -> bool:
    """True if it can stand beside ours."""
    return importlib.util.find_spec("hamilton") is not None


async def hamilton(bodies: list[Any]) -> Run:
    """A driver built once; each run executes the goals."""
    from hamilton import ad_hoc_utils, async_driver

    gc.freeze()  # what it imports must not make every side's garbage collections dearer
    module = ad_hoc_utils.create_temporary_module(*bodies)
    driver = await async_driver.Builder().with_modules(module).build()
    goals = list(GOALS)
    return lambda: driver.execute(goals, inputs=GIVEN)
