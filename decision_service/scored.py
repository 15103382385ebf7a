"""What a model said of one decision, read from the sidecar's bytes and checked."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from decision_service.errors import SidecarFailed
from decision_service.row_scores import RowScores
from decision_service.row_stacks import Row
from sidecar.contracts.application import Exploration
from sidecar.contracts.base_model import BaseColumn
from sidecar.contracts.events import Shadow
from sidecar.contracts.wire import VersionScores
from sidecar.policy.exploration import Pmf, are_finite, pmf_of_finite
from sidecar.policy.propensity import Part, mixture
from sidecar.policy.sampling import draw

Scores = npt.NDArray[np.float32]

BACKSTOP = Exploration("uniform", epsilon=0.0, control_share=0.0)
"""What answers when no model does: every eligible arm alike. It needs nothing, so it cannot fail."""
CERTAIN = Exploration("epsilon_greedy", epsilon=0.0, control_share=0.0)
"""Of what a rule answers: the first of its arms, with probability 1."""


class Scored(Struct, frozen=True):
    """Scores of the eligible arms, and who gave them."""

    values: Scores
    """Shape ``(n_eligible,)``, all of them finite."""
    exploration: Exploration
    source: Literal["model", "fallback", "pre_policy"]
    policy: str
    model_version: int
    cold: bool = False
    expected: Scores | None = None
    """The reward to be expected of each, in their order; None when nobody asked, or knew."""
    ranks: Scores | None = None
    """How each score compares with those of arms shown lately; None likewise."""
    base: BaseColumn | None = None
    """What the base model said, and the model saw; None where there is none."""
    probability: float = 1.0
    """With which this model is the official one, given who answered."""
    candidates: tuple[Scored, ...] = ()
    """The other models that can be the official one instead."""
    shadows: tuple[Shadow, ...] = ()
    """Models that scored and cannot."""
    missing: tuple[str, ...] = ()
    """Models that were asked and have not answered."""
    row: Row | None = None
    """``values`` among those of other decisions, where they came together."""

    def drawn(self, seed: int) -> tuple[Pmf, int]:
        """What the arm is drawn from, and the place that ``seed`` picks.

        Raises:
            BadEvent, PolicyError: as :func:`sidecar.policy.propensity.mixture`.
        """
        if self.row is not None and not self.candidates:
            return self.row.drawn(self.exploration, seed)
        pmf = mixture(self.parts()) if self.candidates else pmf_of_finite(self.values, self.exploration)
        return pmf, draw(pmf, seed)

    def parts(self) -> list[Part]:
        """Every model that can be official, this one first."""
        return [
            (one.policy, one.probability, one.values, one.exploration) for one in (self, *self.candidates)
        ]


def backstop(n_arms: int, missing: tuple[str, ...] = ()) -> Scored:
    """What is said when no model says anything."""
    zeros = np.zeros(n_arms, dtype="<f4")
    return Scored(zeros, BACKSTOP, "fallback", "backstop", 0, missing=missing)


def by_rule(rule: str, n_arms: int) -> Scored:
    """What a rule of the application says: its arms in its order, the first with certainty."""
    return Scored(np.arange(0, -n_arms, -1, dtype="<f4"), CERTAIN, "pre_policy", rule, 0)


def live_scores(said: RowScores, n_arms: int, policy: str, exploration: Exploration) -> Scored:
    """What the container's own weights say.

    Raises:
        SidecarFailed: a column is not of all arms, or not finite.
    """
    if said.base is not None:
        column(said.base.scores, n_arms)
    row = said.row if said.row is not None and len(said.scores) == 4 * n_arms else None
    return Scored(
        column(said.scores, n_arms) if row is None else row.scores,
        exploration,
        "model",
        policy,
        said.model_version,
        said.cold,
        meaning(said.expected, n_arms),
        meaning(said.ranks, n_arms),
        said.base,
        row=row,
    )


def version_scores(
    said: VersionScores, n_arms: int, policy: str, exploration: Exploration, base: BaseColumn | None
) -> Scored:
    """What a deployed version says.

    Raises:
        SidecarFailed: a column is not of all arms, or not finite.
    """
    return Scored(
        column(said.scores, n_arms),
        exploration,
        "model",
        policy,
        said.version,
        False,
        meaning(said.expected, n_arms),
        meaning(said.ranks, n_arms),
        base,
    )


def column(data: bytes, n_arms: int) -> Scores:
    """One number an arm.

    Raises:
        SidecarFailed: it is not of all arms, or not finite.
    """
    values = np.frombuffer(data, "<f4") if len(data) % 4 == 0 else np.empty(0, np.float32)
    if values.shape != (n_arms,) or not are_finite(values):
        raise SidecarFailed(f"a column of {len(data)} bytes for {n_arms} arms, or not all finite")
    return values


def meaning(data: bytes, n_arms: int) -> Scores | None:
    """A column that only the log needs, if the sidecar sent it.

    Raises:
        SidecarFailed: it is not of all arms, or not finite.
    """
    return column(data, n_arms) if data else None
