"""Python's search for cycles of garbage, as a process wants it that handles a million decisions alike.

A decision is some ten containers that live for one batch and form no cycle. By default every 700 of them set
off a search, and every hundredth search goes through all that was ever loaded: a fifth of the learner's time,
a tenth of the decision service's.
"""

from __future__ import annotations

import gc

_CONTAINERS = 50_000
"""That may be new before a search: some megabytes."""


def search_less() -> None:
    """From now on; what is there already is never searched again. For the start of a process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_CONTAINERS, 20, 50)
