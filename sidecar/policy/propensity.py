"""The probabilities of a whole decision: a mixture, where several models could have been official.

``P(arm) = sum over models of P(the model is official, given who answered) x its own pmf at the arm``

The arm is drawn from the mixture, and who is official is drawn after it, given the arm: together that is the
same as to draw the model first and the arm from its pmf, and the log needs no second seed for the arm.
The sum is made in the order of the models' names, so it has the same bits whoever was official.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np

from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import Candidate, DecisionEvent
from sidecar.policy.exploration import Pmf, Scores, pmf_of

Part = tuple[str, float, Scores, Exploration]
"""A model's name, the probability that it is official, its scores, and how it explores."""


def pmf_of_event(event: DecisionEvent) -> Pmf:
    """The pmf that the arm of a logged decision was drawn from, ``(n_eligible,)``, to the last bit.

    Raises:
        BadEvent: a candidate scored other arms than the official model, or scores are torn.
        PolicyError: nothing was scored, or a pmf is not known (imports).
    """
    return pmf_with(event, _scores_in(event.scores))


def pmf_with(event: DecisionEvent, scores: Scores) -> Pmf:
    """Likewise, had the official model given ``scores``.

    Raises:
        BadEvent: a candidate scored other arms than the official model, or its scores are torn.
        PolicyError: nothing was scored, or a pmf is not known (imports).
    """
    if not event.candidates:
        return pmf_of(scores, event.exploration)
    own = (event.policy, event.official_probability, scores, event.exploration)
    return mixture([own, *[_part(candidate) for candidate in event.candidates]])


def mixture(parts: Sequence[Part]) -> Pmf:
    """The pmf of a decision that any of ``parts`` may be official in, ``(n_eligible,)``.

    Raises:
        BadEvent: they scored different arms.
        PolicyError: as :func:`sidecar.policy.exploration.pmf_of`.
    """
    if len(parts) == 1:
        return pmf_of(parts[0][2], parts[0][3])
    if len({scores.shape for _, _, scores, _ in parts}) > 1:
        counts = {name: scores.size for name, _, scores, _ in parts}
        raise BadEvent(f"the models of a decision scored different arms: {counts}")
    _, _, first, _ = parts[0]
    pmf: Pmf = np.zeros(first.shape)
    for _, probability, scores, exploration in sorted(parts, key=itemgetter(0)):
        pmf += probability * pmf_of(scores, exploration)
    return pmf


def posterior(parts: Sequence[Part], place: int) -> list[float]:
    """The probability of each part to be the official one, given that the arm at ``place`` was drawn."""
    joint = [probability * float(pmf_of(scores, how)[place]) for _, probability, scores, how in parts]
    whole = sum(joint)
    return [one / whole for one in joint]


def _part(candidate: Candidate) -> Part:
    return candidate.policy, candidate.probability, _scores_in(candidate.scores), candidate.exploration


def _scores_in(logged: bytes) -> Scores:
    try:
        return np.frombuffer(logged, "<f4")
    except ValueError as error:
        raise BadEvent(f"{len(logged)} bytes are no scores of 4 bytes each") from error
