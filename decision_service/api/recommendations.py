"""Asking for a recommendation, and saying that a deferred one was shown."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from decision_service.api.values import MAX_ARMS, MAX_HORIZON_S, MAX_SLOTS, GivenArm, GivenFeatures, Id, Key


class RecommendationRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Asks for an arm for a session."""

    session_id: Key
    unit_id: Id | None = None
    """Unit of randomisation and of privacy requests; the session when left out."""
    decision_id: Key | None = None
    """The client's own key inside the session: asking twice with it gives the same decision."""
    context: GivenFeatures = {}
    arms: Annotated[list[Id | GivenArm], Meta(min_length=1, max_length=MAX_ARMS)] | None = None
    """Candidates, none twice; left out, the whole catalogue is."""
    exclude: Annotated[list[Id], Meta(max_length=MAX_ARMS)] = []
    """Arms that must not be chosen."""
    limit: Annotated[int, Meta(ge=1, le=MAX_SLOTS)] | Literal["all"] = 1
    """How many arms are to be shown at once: the slots of the decision. ``all``: one is, and the answer ranks
    every eligible arm."""
    deadline_ms: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """By when features and scores must be there; after it the backstop answers."""
    horizon_s: Annotated[float, Meta(ge=0.001, le=MAX_HORIZON_S)] | None = None
    """How long this decision waits for its rewards, in seconds; the application's when left out, which also
    says what the longest is."""
    deferred: bool = False
    """True: what is recommended may never be shown. The decision is learnt from only if it is activated."""


class RankedArm(Struct, frozen=True):
    """One eligible arm as it was scored."""

    arm: str
    probability: float
    """With which it was chosen for its slot, given the arms of the slots before it."""
    score: float


AnswerSource = Literal["model", "pre_policy", "fallback", "repeat", "import"]


class Recommendation(Struct, frozen=True, kw_only=True):
    """The decision. It is in the log when this is read."""

    decision_id: str
    """Name this in the reward."""
    session_id: str
    arm: str
    """The arm to show; of several, the first."""
    probability: float
    """Probability with which the whole procedure chose it."""
    ranking: list[RankedArm]
    """The arms to show, slot by slot, each once. With ``limit`` ``all``: every eligible arm, the best score
    first."""
    source: AnswerSource
    policy: str
    model_version: int
    expected: float | UnsetType = UNSET
    """The reward that is to be expected of ``arm``, by what came of arms with such a score; there only if the
    service is set to ask (``calibrated``), and after the model's first examples."""
    rank: float | UnsetType = UNSET
    """The share of arms shown lately that were scored no higher, 0 to 1; there likewise."""
    logged: bool
    reward_until: str | None
    """End of the horizon, by the store's clock: rewards that come later are kept, but not learned from. null
    when overload shed the decision from the log."""


class ActivationRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Says that a deferred decision was shown. The body may be left out."""

    horizon_s: Annotated[float, Meta(ge=0.001, le=MAX_HORIZON_S)] | None = None
    """How long it waits for its rewards from now on, in seconds; left out, its end stays what it is."""


ActivationStatus = Literal["activated", "duplicate", "late", "unknown"]


class ActivationReceipt(Struct, frozen=True, kw_only=True):
    """What became of an activation."""

    status: ActivationStatus
    """``duplicate``: it counted already; ``late``: its horizon had ended, so that it never counts."""
    decision_id: str
    reward_until: str | None
    """End of the horizon; null when it is not known."""
    spooled: bool | UnsetType = UNSET
    """True: the store is away; the activation is written down beside the service, and counts when it is back,
    unless the decision is unknown or over by then."""
