"""Why an arm was chosen."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class ScorePart(Struct, frozen=True, kw_only=True):
    """What one feature, or a product of two, adds to a score: ``weight`` times ``value``."""

    features: list[str]
    """Such as ``context.device=ios`` and ``arm.price``; none: the model's constant."""
    value: float
    weight: float
    contribution: float


class ArmExplanation(Struct, frozen=True, kw_only=True):
    """An arm's score, taken apart: ``parts`` and ``others`` add up to it, but for rounding, if ``exact``."""

    arm: str
    role: Literal["chosen", "runner_up", "slot"]
    """``runner_up``: the arm with the highest score but the chosen one. ``slot``: the arm or the runner-up of
    a further slot."""
    score: float
    """As served, by the official model."""
    probability: float
    """For the first slot."""
    parts: list[ScorePart]
    """The largest first; what adds nothing is left out."""
    others: float
    """Sum of the parts that are not told."""
    n_others: int


class ExplainedModel(Struct, frozen=True, kw_only=True):
    """A model that could have been the official one."""

    policy: str
    model_version: int
    probability: float
    """That it is official, given who answered."""
    arm_probability: float
    """Of the chosen arm, had it been."""
    arm_score: float
    best_arm: str


Why = Literal["best", "exploration", "alike", "only", "rule", "backstop"]


class ExplainedSlot(Struct, frozen=True, kw_only=True):
    """Why an arm was chosen for a further slot: among those that stood in none before it."""

    arm: str
    probability: float
    """Given the arms of the slots before it."""
    why: Why
    told: str
    runner_up: str | None
    """The arm with the highest score that was left beside it."""


class ExplanationView(Struct, frozen=True, kw_only=True):
    """Why an arm was chosen."""

    decision_id: str
    arm: str
    probability: float
    why: Why
    """``best``: none was scored higher. ``exploration``: others were; its score does not explain the choice.
    ``alike``: no score differed. ``only``: no other arm was eligible. ``rule``: a rule answered.
    ``backstop``: no model answered in time."""
    told: str
    """The same in a sentence."""
    least_probability: float
    """What every eligible arm had, however it was scored."""
    exploration: dict[str, str | float]
    segment: str | None
    models: list[ExplainedModel]
    """Those that could have been official, the official one first; the arm was drawn from their mixture."""
    model_version: int
    explained_by: int | None
    """Version of the weights that the parts are of; null: no model scored. Not ``model_version`` where that
    is not kept any more: then they tell how the arms are scored now."""
    exact: bool | None
    """Whether the parts are those of the very scores that were served."""
    arms: list[ArmExplanation]
    """The chosen one, then the runner-up, if there was another; then those of further slots."""
    slots: list[ExplainedSlot]
    """Further arms that were shown, in their order."""
