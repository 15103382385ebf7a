"""What the documentation says of the endpoints for decisions and rewards."""

from __future__ import annotations

from decision_service.api.decisions import DecisionView
from decision_service.api.explanations import ExplanationView
from decision_service.api.recommendations import (
    ActivationReceipt,
    ActivationRequest,
    Recommendation,
    RecommendationRequest,
)
from decision_service.api.rewards import RewardBatch, RewardReceipt, RewardReceipts, RewardRequest
from decision_service.batch import RecommendationBatch, RecommendationResults
from decision_service.documentation.operation import DECISION_ID, Json, Operation

_RECEIPT: Json = {"status": "accepted", "decision_id": DECISION_ID, "reward_id": "order-77"}
_REWARD: Json = {"decision_id": DECISION_ID, "event": "purchase", "reward_id": "order-77"}
_RANKED: Json = {"arm": "sku-2", "probability": 0.91, "score": 0.12}

OF_DECISIONS: dict[str, Operation] = {
    "recommend": Operation(
        "Recommend an arm for a session",
        "The decision is in the log when the answer arrives. Asking again with the same `decision_id` gives "
        "the same decision (`source` is `repeat`); with another body under that key, 409.",
        "decisions",
        201,
        Recommendation,
        {
            "decision_id": DECISION_ID,
            "session_id": "s-42",
            "arm": "sku-2",
            "probability": 0.91,
            "ranking": [_RANKED],
            "source": "model",
            "policy": "champion",
            "model_version": 1234,
            "logged": True,
            "reward_until": "2026-01-01T12:30:00.000Z",
        },
        RecommendationRequest,
        {
            "session_id": "s-42",
            "context": {"device": "ios", "hour": 21, "returning": True},
            "arms": ["sku-1", {"id": "sku-2", "features": {"price": 12.5}}],
            "exclude": ["sku-9"],
        },
        refusals=(408, 409, 413, 422),
    ),
    "recommend_batch": Operation(
        "Up to 500 recommendations in one call",
        "Each is decided and logged as if it came alone, and has a result: a recommendation or a problem.",
        "decisions",
        200,
        RecommendationResults,
        request=RecommendationBatch,
        request_example={"requests": [{"session_id": "s-1"}, {"session_id": "s-2", "limit": 3}]},
        refusals=(408, 413, 422),
    ),
    "reward": Operation(
        "Say what came of a decision",
        "A reward that is late, early, repeated or for nobody is no error: it is kept, and `status` says so.",
        "rewards",
        202,
        RewardReceipt,
        _RECEIPT,
        RewardRequest,
        _REWARD,
        refusals=(408, 413, 422),
        idempotency_key=True,
    ),
    "reward_batch": Operation(
        "Up to 1,000 rewards in one call",
        "All of them are taken, or, when one breaks the schema, none.",
        "rewards",
        202,
        RewardReceipts,
        {"rewards": [_RECEIPT]},
        RewardBatch,
        {"rewards": [_REWARD]},
        refusals=(408, 413, 422),
        idempotency_key=True,
    ),
    "activate": Operation(
        "Say that a deferred decision was shown",
        "From now on it counts: it is learnt from, with the rewards that it has and those that still come. "
        "Never activated, it is in the log and not learnt from. Again is no harm.",
        "decisions",
        200,
        ActivationReceipt,
        {
            "status": "activated",
            "decision_id": DECISION_ID,
            "reward_until": "2026-01-01T12:30:00.000Z",
        },
        ActivationRequest,
        {"horizon_s": 1800.0},
        refusals=(408, 413, 422),
        optional_body=True,
    ),
    "decision": Operation(
        "Look a decision up",
        "What was decided, why, and what came of it: while it is pending, and for a time after.",
        "decisions",
        200,
        DecisionView,
        refusals=(404,),
    ),
    "explain": Operation(
        "Why this arm?",
        "What each feature and each product of features adds to the score of the chosen arm and of the "
        "runner-up; and whether the score is why: what exploration drew is named as such.",
        "decisions",
        200,
        ExplanationView,
        refusals=(404,),
    ),
}
