"""How far a distribution has moved: the population stability index between then and now.

``sum over bins of (now - then) * ln(now / then)``: 0 for the same; by the rule of thumb of credit scoring
below 0.1 nothing has happened, above 0.25 something has. (Naeem Siddiqi, "Credit Risk Scorecards", 2006,
chapter 9.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

_BINS = 20
_HALF = 0.5
"""Added to every bin's count, so that an empty one has a logarithm (Jeffreys)."""


class Reference(Struct, frozen=True):
    """A distribution as it was."""

    edges: tuple[float, ...]
    """Ascending; bin i lies below edge i, the last bin above them all."""
    shares: tuple[float, ...]
    """Of each bin; one more than there are edges."""
    samples: int


def reference_of(samples: Sequence[float]) -> Reference:
    """The distribution of ``samples`` in bins that hold about as many each; at least one sample.

    >>> reference_of([1.0, 1.0, 1.0, 5.0]).edges
    (1.0, 5.0)
    """
    values = np.array(samples, np.float64)
    quantiles = np.quantile(values, np.linspace(0.0, 1.0, _BINS + 1)[1:-1], method="higher")
    edges = np.unique(quantiles)
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    shares = (counts + _HALF) / (counts + _HALF).sum()
    return Reference(tuple(edges.tolist()), tuple(shares.tolist()), len(values))


def bin_of(reference: Reference, value: float) -> int:
    """The bin that ``value`` is in."""
    return int(np.searchsorted(reference.edges, value, side="left"))


def stability_index(reference: Reference, counts: npt.NDArray[np.float64]) -> float:
    """How far ``counts`` of the same bins are from the reference; not negative."""
    now = (counts + _HALF) / (counts + _HALF).sum()
    then = np.array(reference.shares)
    return float(np.sum((now - then) * np.log(now / then)))
