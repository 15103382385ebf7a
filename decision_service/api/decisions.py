"""A decision, looked up."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from sidecar.contracts.application import Features
from sidecar.contracts.opinions import Opinion
from sidecar.contracts.reward_section import RewardMode


class RewardView(Struct, frozen=True, kw_only=True):
    """A reward as it was kept."""

    reward_id: str
    value: float
    event: str
    arm: str
    at: str
    """When it arrived, by the store's clock."""


class ArmView(Struct, frozen=True, kw_only=True):
    """One arm that was eligible."""

    arm: str
    probability: float | None
    """null where only the chosen arm's propensity is known (imports)."""
    score: float | None
    features: Features = {}
    """Those that the request gave or that were fetched for this arm, over the catalogue's."""
    outcomes: dict[str, str] = {}
    """How its features were had, where that is not what the decision's ``outcomes`` say."""


class SlotView(Struct, frozen=True, kw_only=True):
    """One more arm that the decision showed."""

    arm: str
    probability: float
    """Given the arms of the slots before it."""
    reward: float
    """Of its own, aggregated so far; final when the decision is."""


class DecisionView(Struct, frozen=True, kw_only=True):
    """What was decided, why, and what came of it."""

    decision_id: str
    session_id: str
    unit_id: str
    client_decision_id: str | None
    decided_at: str
    reward_until: str
    state: Literal["deferred", "pending", "final", "never_activated"]
    """``deferred``: pending, and not activated yet."""
    arm: str
    probability: float
    source: str
    policy: str
    model_version: int
    expected: float | None
    """The reward that was expected of ``arm``; null when nobody asked, or knew."""
    rank: float | None
    """The share of arms shown before that were scored no higher than ``arm``; null likewise."""
    cold: bool
    """No weights had been published yet."""
    catalogue: str
    exploration: dict[str, str | float]
    segment: str | None
    """Of the traffic, that it was in."""
    context: Features
    outcomes: dict[str, str]
    """How each context feature was had; and, under the name of their node, those of arms and exclusions."""
    arms: list[ArmView]
    """The eligible arms with the whole pmf, in the order of scoring."""
    models: list[Opinion]
    """What each model said, the official one first; then who could have been, shadows, and who was silent."""
    excluded: dict[str, str]
    seed: str
    rewards: list[RewardView]
    """Within the horizon."""
    late_rewards: list[RewardView]
    """After it: kept, but part of nothing."""
    reward: float
    """Of ``arm``, aggregated so far; final when ``state`` is."""
    slots: list[SlotView]
    """Further arms that were shown, in their order."""
    mode: RewardMode
    """When it is learnt from; as it was when the decision was made."""
    inclusion_probability: float
    """Probability with which it was logged: 1 but for overload."""
