"""Exploration: scores to probabilities. A registry of pure functions, one a scheme.

Whatever the scheme, a control share of the traffic is drawn uniformly on top and is part of the same
propensity; so no arm falls below ``control_share / n``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import BadExploration, NothingToScore

Scores = npt.NDArray[np.float32]
Pmf = npt.NDArray[np.float64]
Scheme = Callable[[Scores, Exploration], Pmf]


def epsilon_greedy(scores: Scores, exploration: Exploration) -> Pmf:
    """All but epsilon to the best arm, epsilon shared evenly by all. Ties share what the best would get.

    Args:
        scores: shape ``(..., n_arms)``, higher is better.
        exploration: ``epsilon`` in [0, 1].

    Source: the epsilon-greedy (epoch-free) strategy of J. Langford and T. Zhang, "The Epoch-Greedy Algorithm
    for Contextual Multi-armed Bandits", 2007.

    >>> epsilon_greedy(np.float32([0.2, 0.9, 0.9, 0.1]), Exploration(epsilon=0.2)).round(3).tolist()
    [0.05, 0.45, 0.45, 0.05]
    """
    best = scores == np.maximum.reduce(scores, axis=-1, keepdims=True)
    share = (1.0 - exploration.epsilon) / np.add.reduce(best, axis=-1, keepdims=True, dtype=np.float64)
    pmf: Pmf = np.where(best, share, 0.0) + exploration.epsilon / scores.shape[-1]
    return pmf


def uniform(scores: Scores, exploration: Exploration) -> Pmf:
    """Every arm alike, whatever the scores.

    >>> uniform(np.float32([3.0, 1.0]), Exploration("uniform")).tolist()
    [0.5, 0.5]
    """
    return np.full(scores.shape, 1.0 / scores.shape[-1])


SCHEMES: dict[str, Scheme] = {"epsilon_greedy": epsilon_greedy, "uniform": uniform}
"""``logged`` is not among them: of imported decisions only the propensity of the shown arm is known."""


def pmf_of(scores: Scores, exploration: Exploration) -> Pmf:
    """The probabilities of the whole procedure, in the order of ``scores``; float64, summing to 1.

    A pure function of its arguments to the last bit: it is computed again at replay, not stored. Several
    decisions with equally many arms may be rows, ``(..., n_arms)``: each row's answer is what it would be
    alone.

    Raises:
        NothingToScore: ``scores`` is empty.
        BadExploration: a scheme without a pmf, a parameter outside [0, 1], or scores that are not finite.

    >>> pmf_of(np.float32([0.5, 0.1]), Exploration(epsilon=0.1, control_share=0.02)).round(3).tolist()
    [0.941, 0.059]
    """
    scheme = SCHEMES.get(exploration.scheme)
    if scheme is None:
        raise BadExploration(
            f"scheme {exploration.scheme!r} says nothing of the other arms; with a pmf: {', '.join(SCHEMES)}"
        )
    _check(scores, exploration)
    control = exploration.control_share
    pmf: Pmf = (1.0 - control) * scheme(scores, exploration) + control / scores.shape[-1]
    return pmf


def _check(scores: Scores, exploration: Exploration) -> None:
    if scores.shape[-1] == 0:
        raise NothingToScore("no arm is eligible: at least one is needed for a pmf")
    for name in ("epsilon", "control_share"):
        value = getattr(exploration, name)
        if not 0.0 <= value <= 1.0:
            raise BadExploration(f"{name} is {value}: legal is 0 to 1")
    if not np.isfinite(scores).all():
        where = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise BadExploration(f"score {where} is {scores.flat[where]}: only finite scores can be ranked")
