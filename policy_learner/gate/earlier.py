"""The version of a while before, from a bounded memory of what was published meanwhile."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from policy_learner.gate.scored import Scored
from sidecar.contracts.weights import Weights, decode_weights, encode_weights

_MOMENTS = 5
"""Versions kept for each span: the one looked for is at most a fifth of it older than it should be."""


class _Moment(NamedTuple):
    at: float
    record: bytes
    """Most weights are zero: a fraction of the table's size."""


class Earlier:
    """The newest version that is old enough; until there is one, the oldest at hand.

    Args:
        name: of the reference, in verdicts.
        span: how old is old enough, in whatever unit versions are dated with.
    """

    def __init__(self, name: str, span: float) -> None:
        self.name = name
        self._span = span
        self._moments: deque[_Moment] = deque()
        self.model: Scored | None = None

    def remember(self, at: float, weights: Weights) -> None:
        """A version was published; the one looked for may be another now."""
        moments = self._moments
        if moments and at - moments[-1].at < self._span / _MOMENTS:
            return
        moments.append(_Moment(at, encode_weights(weights)))
        looked_for = moments[0]
        while len(moments) > 1 and at - moments[1].at >= self._span:
            moments.popleft()
        if self.model is None or moments[0] is not looked_for:
            self.model = Scored(decode_weights(moments[0].record))
