"""What the documentation says of the endpoints for the catalogue."""

from __future__ import annotations

from decision_service.api.arms import ArmFeatures, ArmPatch, ArmsChanged, ArmsRequest, ArmsView
from decision_service.documentation.operation import Json, Operation

_CHANGED: Json = {"version": "5b0f6f5fd0c6a1de", "before": "1c9f2c8e0f7a4b11", "arms": 20}

OF_ARMS: dict[str, Operation] = {
    "arms": Operation(
        "The catalogue",
        "The arms, which version is current, and which one each service of the application decides with.",
        "arms",
        200,
        ArmsView,
    ),
    "change_arms": Operation(
        "Change several arms at once",
        "Added, replaced, re-priced, retired: as one new version, which every service decides with within a "
        "second. Decisions that were made stay as they are, with the version that they name.",
        "arms",
        200,
        ArmsChanged,
        _CHANGED,
        ArmsRequest,
        {
            "put": [{"id": "sku-3", "features": {"price": 9.5}}],
            "change": [{"id": "sku-2", "features": {"price": 11.0, "new": None}}],
            "retire": ["sku-1"],
            "reason": "summer sale",
        },
        refusals=(408, 409, 413, 422),
    ),
    "put_arm": Operation(
        "Add an arm, or replace it",
        "A new one comes last, one that is there keeps its place.",
        "arms",
        200,
        ArmsChanged,
        _CHANGED,
        ArmFeatures,
        {"features": {"price": 9.5, "kind": "shoe"}},
        refusals=(408, 409, 413, 422),
    ),
    "patch_arm": Operation(
        "Change some features of an arm",
        "Such as its price; null takes one away, those that are not named stay.",
        "arms",
        200,
        ArmsChanged,
        _CHANGED,
        ArmPatch,
        {"features": {"price": 8.0}},
        refusals=(404, 408, 409, 413, 422),
    ),
    "retire_arm": Operation(
        "Retire an arm",
        "It is not shown any more. The last one cannot be retired.",
        "arms",
        200,
        ArmsChanged,
        _CHANGED,
        refusals=(404, 409, 422),
    ),
}
