"""The public HTTP API as data: every request and answer, with its bounds. ``openapi.py`` is made from this.

Requests are strict: unknown fields, other types, NaN and Infinity are refused; nothing is coerced. A field
that may be left out may also be null.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from sidecar.contracts.application import Features, RewardMode

MAX_FEATURES = 256
MAX_ARMS = 5_000
MAX_REWARDS = 1_000
MAX_SLOTS = 50
MAX_HORIZON_S = 31_622_400.0
"""A year; applications allow less."""
MAX_MAGNITUDE = 1e9
"""Features beyond it are refused: the square of two crossed ones must still fit a float32."""

Id = Annotated[str, Meta(min_length=1, max_length=256, description="1 to 256 characters")]
Key = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A name inside the store: no control characters."""
Number = Annotated[float, Meta(ge=-MAX_MAGNITUDE, le=MAX_MAGNITUDE)]
Text = Annotated[str, Meta(max_length=1024)]
GivenFeatures = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=256)], Text | Number | bool],
    Meta(max_length=MAX_FEATURES, description="flat: name to string, number or boolean; at most 256"),
]


class GivenArm(Struct, frozen=True, forbid_unknown_fields=True):
    """An arm with features for this request only, merged over the catalogue's."""

    id: Id
    features: GivenFeatures = {}


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


class RewardRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Says what came of a decision."""

    decision_id: Key | None = None
    """Of the answer; or, with ``session_id``, the client's own key."""
    session_id: Key | None = None
    """Alone it means the session's last decision."""
    event: Id | None = None
    """A row of the application's table of events; its value is the reward unless ``reward`` is given."""
    reward: float | None = None
    arm: Id | None = None
    """The arm that earned it. Of a decision of several slots only that slot is rewarded; without it, or if it
    was in none of them, the first is."""
    reward_id: Key | None = None
    """Idempotency key, such as the order's number; the ``Idempotency-Key`` header stands in for it."""
    occurred_at: Annotated[str, Meta(max_length=64)] | None = None
    """RFC 3339 with a zone, such as 2026-01-01T12:30:00Z. Recorded; the store's clock decides."""


class RewardBatch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Many rewards, each with its own fate."""

    rewards: Annotated[list[RewardRequest], Meta(min_length=1, max_length=MAX_REWARDS)]


RewardStatus = Literal["accepted", "duplicate", "early", "late", "unknown", "over_limit"]


class RewardReceipt(Struct, frozen=True, kw_only=True):
    """What became of a reward."""

    status: RewardStatus
    decision_id: str | None
    """The decision that it went to; null when nobody was found."""
    decision_ids: list[str] | UnsetType = UNSET
    """All that it went to, the newest first, where a reward by session reaches several; ``status`` is then
    the best of theirs."""
    reward_id: str
    """Its idempotency key, made here when the client gave none."""
    spooled: bool | UnsetType = UNSET
    """True: the store is away; the reward is written down beside the service, and what becomes of it is not
    known before the store is back."""


class RewardReceipts(Struct, frozen=True, kw_only=True):
    """One receipt a reward, in the order of the request."""

    rewards: list[RewardReceipt]


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


class ArmFeatures(Struct, frozen=True, forbid_unknown_fields=True):
    """An arm, without its id: all that it has."""

    features: GivenFeatures = {}


PatchedFeatures = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=256)], Text | Number | bool | None],
    Meta(max_length=MAX_FEATURES, description="over the arm's own; null takes one away"),
]


class ArmPatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Some features of an arm; those that are not named stay."""

    features: PatchedFeatures


class PatchedArm(Struct, frozen=True, forbid_unknown_fields=True):
    """Some features of one of several arms."""

    id: Id
    features: PatchedFeatures


class ArmsRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes of the catalogue that take effect together, as one version; each arm stands in it once."""

    put: Annotated[list[GivenArm], Meta(max_length=MAX_ARMS)] = []
    """Added, or replaced as a whole."""
    change: Annotated[list[PatchedArm], Meta(max_length=MAX_ARMS)] = []
    """Given other features, such as a price."""
    retire: Annotated[list[Id], Meta(max_length=MAX_ARMS)] = []
    """Not shown any more. What was decided with them stays as it was."""
    version: Annotated[str, Meta(max_length=64)] | None = None
    """The version that this was made of: if another one is current, nothing changes, and it is 409."""
    reason: Annotated[str, Meta(max_length=256)] = ""
    """For people."""


class ArmsChanged(Struct, frozen=True, kw_only=True):
    """The catalogue after a change."""

    version: str
    before: str
    """The version that was changed; the same, if nothing had to be."""
    arms: int
    """How many there are."""


class ReplicaView(Struct, frozen=True, kw_only=True):
    """One service of the application."""

    replica: str
    version: str
    """Of the catalogue that it serves."""
    at: str
    """When it said so."""
    word: str
    """Why it does not serve the current one; empty if it does, or is about to."""


class ArmsView(Struct, frozen=True, kw_only=True):
    """The catalogue."""

    version: str
    """The current one."""
    revision: int
    """Counts the changes."""
    changed_at: str
    reason: str
    serving: str
    """The version that the service which answers decides with."""
    agreed: bool
    """Whether every service decides with the current one."""
    replicas: list[ReplicaView]
    arms: list[GivenArm]
    """Of the version ``serving``, in the order of scoring."""


class ProblemDetail(Struct, frozen=True):
    """One field at fault."""

    pointer: str
    detail: str


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemDetail] = []


class Health(Struct, frozen=True, kw_only=True):
    """A probe's answer."""

    status: Literal["ok"]
