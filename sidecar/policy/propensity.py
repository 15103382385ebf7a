"""The probabilities of a whole decision: a mixture, where several models could have been official.

``P(arm) = sum over models of P(the model is official, given who answered) x its own pmf at the arm``
"""

from __future__ import annotations

import numpy as np

from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import DecisionEvent
from sidecar.policy.exploration import Pmf, Scores, pmf_of


def pmf_of_event(event: DecisionEvent) -> Pmf:
    """The pmf that the arm of a logged decision was drawn from, ``(n_eligible,)``, to the last bit.

    Raises:
        BadEvent: a candidate scored other arms than the official model.
        PolicyError: nothing was scored, or a pmf is not known (imports).
    """
    return pmf_with(event, np.frombuffer(event.scores, "<f4"))


def pmf_with(event: DecisionEvent, scores: Scores) -> Pmf:
    """Likewise, had the official model given ``scores``.

    Raises:
        BadEvent: a candidate scored other arms than the official model.
        PolicyError: nothing was scored, or a pmf is not known (imports).
    """
    own = pmf_of(scores, event.exploration)
    if not event.candidates:
        return own
    pmf = event.official_probability * own
    for candidate in event.candidates:
        pmf += candidate.probability * _other(candidate.scores, candidate.exploration, scores)
    return pmf


def _other(stored: bytes, exploration: Exploration, official: Scores) -> Pmf:
    scores = np.frombuffer(stored, "<f4")
    if scores.shape != official.shape:
        raise BadEvent(f"a candidate scored {scores.size} arms, the official model {official.size}")
    return pmf_of(scores, exploration)
