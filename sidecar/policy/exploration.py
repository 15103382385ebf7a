"""Exploration: scores to probabilities. A registry of pure functions, one a scheme.

Whatever the scheme, no arm falls below the floor, and a control share of the traffic is drawn uniformly on
top and is part of the same propensity; so no arm falls below ``control_share / n`` either. Arms of equal
score are alike in every scheme, and the order of the arms changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import BadAnswer, BadExploration, NothingToScore

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
    best = (scores == np.maximum.reduce(scores, axis=-1, keepdims=True)).astype(np.float64)
    share = (1.0 - exploration.epsilon) / np.add.reduce(best, axis=-1, keepdims=True)
    pmf: Pmf = best * share + exploration.epsilon / scores.shape[-1]
    return pmf


def softmax(scores: Scores, exploration: Exploration) -> Pmf:
    """Each arm in proportion to ``exp(score / temperature)``.

    Args:
        scores: shape ``(..., n_arms)``, higher is better.
        exploration: ``temperature`` above 0, in the unit of the scores.

    Source: the Gibbs distribution of R. D. Luce, "Individual Choice Behavior", 1959, as an exploration scheme
    in R. S. Sutton and A. G. Barto, "Reinforcement Learning: An Introduction", 2nd edition 2018, section 2.8.

    >>> softmax(np.float32([0.0, np.log(3.0)]), Exploration("softmax", temperature=1.0)).round(6).tolist()
    [0.25, 0.75]
    """
    mass = np.exp(-_gaps(scores) / exploration.temperature)
    pmf: Pmf = mass / _total(mass)
    return pmf


def squarecb(scores: Scores, exploration: Exploration) -> Pmf:
    """Inverse gap weighting: ``1 / (n + gamma * gap)`` to an arm that far below the best, to that the rest.

    Arms that share the best score share what the best would get.

    Args:
        scores: shape ``(..., n_arms)``, the expected reward of each.
        exploration: ``gamma``, 0 (uniform) or more; the theory lets it grow as the square root of the number
            of examples.

    Source: D. Foster and A. Rakhlin, "Beyond UCB: Optimal and Efficient Contextual Bandits with Regression
    Oracles", 2020 (SquareCB, with mu = n); D. Simchi-Levi and Y. Xu, "Bypassing the Monster: A Faster and
    Simpler Optimal Algorithm for Contextual Bandits under Realizability", 2020 (FALCON, the same weights with
    a gamma for each epoch).

    >>> squarecb(np.float32([1.0, 0.5, 0.5]), Exploration("squarecb", gamma=4.0)).round(6).tolist()
    [0.6, 0.2, 0.2]
    """
    gaps = _gaps(scores)
    best = gaps == 0.0
    others = np.where(best, 0.0, 1.0 / (scores.shape[-1] + exploration.gamma * gaps))
    rest = 1.0 - _total(others)
    pmf: Pmf = np.where(best, rest / np.add.reduce(best, axis=-1, keepdims=True, dtype=np.float64), others)
    return pmf


def uniform(scores: Scores, exploration: Exploration) -> Pmf:
    """Every arm alike, whatever the scores.

    >>> uniform(np.float32([3.0, 1.0]), Exploration("uniform")).tolist()
    [0.5, 0.5]
    """
    return np.full(scores.shape, 1.0 / scores.shape[-1])


SCHEMES: dict[str, Scheme] = {
    "epsilon_greedy": epsilon_greedy,
    "softmax": softmax,
    "squarecb": squarecb,
    "uniform": uniform,
}
"""``logged`` is not among them: of imported decisions only the propensity of the shown arm is known."""

_LEGAL = {
    "epsilon": (0.0, 1.0),
    "control_share": (0.0, 1.0),
    "temperature": (1e-6, 1e9),
    "gamma": (0.0, 1e9),
    "floor": (0.0, 1.0),
}


def pmf_of(scores: Scores, exploration: Exploration) -> Pmf:
    """The probabilities of the whole procedure, in the order of ``scores``; float64, summing to 1.

    A pure function of its arguments to the last bit: it is computed again at replay, not stored. Several
    decisions with equally many arms may be rows, ``(..., n_arms)``: each row's answer is what it would be
    alone.

    Raises:
        NothingToScore: ``scores`` is empty.
        BadExploration: a scheme without a pmf, or a parameter outside its range.
        BadAnswer: scores that are not finite.

    >>> pmf_of(np.float32([0.5, 0.1]), Exploration(epsilon=0.1, control_share=0.02)).round(3).tolist()
    [0.941, 0.059]
    """
    scheme = _scheme_for(scores, exploration)
    _check_finite(scores)
    return _whole(scheme, scores, exploration)


def pmf_of_finite(scores: Scores, exploration: Exploration) -> Pmf:
    """The same of scores that are known to be finite, which is not looked at again.

    Raises:
        NothingToScore, BadExploration: as :func:`pmf_of`.
    """
    return _whole(_scheme_for(scores, exploration), scores, exploration)


def _whole(scheme: Scheme, scores: Scores, exploration: Exploration) -> Pmf:
    chosen = scheme(scores, exploration)
    if exploration.floor > 0.0:
        chosen = lifted(chosen, exploration.floor)
    control = exploration.control_share
    pmf: Pmf = (1.0 - control) * chosen + control / scores.shape[-1]
    return pmf


def lifted(pmf: Pmf, floor: float) -> Pmf:
    """``pmf`` with no arm below ``floor``: mixed with the uniform one, by the smallest share that does it.

    The order of the arms stays, and a pmf that keeps the floor already is returned to the last bit. A floor
    above ``1 / n`` is ``1 / n``.

    >>> lifted(np.array([1.0, 0.0, 0.0]), 0.1).round(6).tolist()
    [0.8, 0.1, 0.1]
    """
    even = 1.0 / pmf.shape[-1]
    least = np.minimum.reduce(pmf, axis=-1, keepdims=True)
    lacking = min(floor, even) - least
    share = np.divide(lacking, even - least, out=np.zeros_like(least), where=lacking > 0.0)
    found: Pmf = (1.0 - share) * pmf + share * even
    return found


def _gaps(scores: Scores) -> npt.NDArray[np.float64]:
    """How far each arm lies below the best."""
    exact = scores.astype(np.float64)
    gaps: npt.NDArray[np.float64] = np.maximum.reduce(exact, axis=-1, keepdims=True) - exact
    return gaps


def _total(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums over the arms, ``(..., 1)``: from the smallest up, term after term, so that no order matters."""
    total: npt.NDArray[np.float64] = np.add.accumulate(np.sort(values, axis=-1), axis=-1)[..., -1:]
    return total


def _scheme_for(scores: Scores, exploration: Exploration) -> Scheme:
    scheme = SCHEMES.get(exploration.scheme)
    if scheme is None:
        raise BadExploration(
            f"scheme {exploration.scheme!r} says nothing of the other arms; with a pmf: {', '.join(SCHEMES)}"
        )
    if scores.shape[-1] == 0:
        raise NothingToScore("no arm is eligible: at least one is needed for a pmf")
    for name, (least, most) in _LEGAL.items():
        value = getattr(exploration, name)
        if not least <= value <= most:
            raise BadExploration(f"{name} is {value}: legal is {least:g} to {most:g}")
    return scheme


def are_finite(numbers: npt.NDArray[np.floating]) -> bool:
    """Whether all are; by their bytes, which takes less than half of numpy's way to reduce them."""
    return 0 not in np.isfinite(numbers).tobytes()


def _check_finite(scores: Scores) -> None:
    if not are_finite(scores):
        where = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise BadAnswer(f"score {where} is {scores.flat[where]}: only finite scores can be ranked")
