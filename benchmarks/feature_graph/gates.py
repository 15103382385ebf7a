"""The gates by name, and which of them run on uvloop too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module

from benchmarks.figures import Figure

Gate = Callable[[], Awaitable[list[Figure]]]

MODULES = {
    "B1": "parallel",
    "B2": "parallel",
    "B3": "overhead",
    "B4": "overhead",
    "B5": "parallel",
    "B6": "load",
    "B7": "deadline",
    "B8": "batches",
    "B9": "overhead",
    "B10": "size",
}
ON_UVLOOP = ("B1", "B3", "B6")
BESIDE_HAMILTON = ("B3", "B5", "B6")


def load(gate: str) -> Gate:
    """The coroutine function that measures it, imported only now: a gate must not cost another one time."""
    module = import_module(f"benchmarks.feature_graph.{MODULES[gate]}")
    return getattr(module, gate.lower())  # type: ignore[no-any-return]
