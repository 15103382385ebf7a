"""What the documentation says of the endpoints for whoever runs the platform."""

from __future__ import annotations

from decision_service.api.problems import Health
from decision_service.documentation.operation import Operation
from decision_service.exploration_desk import ExplorationRequest, ExplorationView
from decision_service.model_admin import ModelChange, ModelRequest
from decision_service.model_desk import ModelsView

OF_OPERATION: dict[str, Operation] = {
    "exploration": Operation(
        "How does the application explore?",
        "Everywhere, and in segments of its traffic, as it is in the store.",
        "operation",
        200,
        ExplorationView,
    ),
    "explore": Operation(
        "Change how the application explores",
        "All of it is replaced in one step; every replica follows within a second. A decision logs how it "
        "explored, so that nothing of the past changes.",
        "operation",
        200,
        ExplorationView,
        request=ExplorationRequest,
        request_example={
            "everywhere": {"scheme": "squarecb", "gamma": 40.0, "floor": 0.001},
            "segments": [{"name": "new", "where": {"returning": [False]}, "exploration": {"epsilon": 0.3}}],
        },
        refusals=(408, 409, 413, 422),
    ),
    "models": Operation(
        "Which models score, what do they earn, and how do they stand?",
        "Every model with its role, its progressive AUC and the reward of its policy; how challengers and "
        "shadows stand, with an interval that holds whenever it is looked at; and who took whose place.",
        "operation",
        200,
        ModelsView,
    ),
    "deploy_model": Operation(
        "Deploy a model, or put another under its name",
        "Every replica follows within a second. A new champion's predecessor stays as a challenger without a "
        "share. `version` must be one that is kept: `sidearm models list` shows them.",
        "operation",
        200,
        ModelsView,
        request=ModelRequest,
        request_example={"role": "challenger", "version": "1234", "share": 0.1},
        refusals=(408, 409, 413, 422),
    ),
    "change_model": Operation(
        "Change a model's share, priority or wait",
        "What is left out stays.",
        "operation",
        200,
        ModelsView,
        request=ModelChange,
        request_example={"share": 0.2},
        refusals=(404, 408, 413, 422),
    ),
    "undeploy_model": Operation(
        "Undeploy a model",
        "It scores nothing any more; what it decided stays. The champion cannot be undeployed.",
        "operation",
        200,
        ModelsView,
        refusals=(404, 422),
    ),
    "promote_model": Operation(
        "Make a model the champion",
        "The one before stays as a challenger without a share.",
        "operation",
        200,
        ModelsView,
        refusals=(404, 422),
    ),
    "livez": Operation("Is the process alive?", "Touches nothing else.", "operation", 200, Health),
    "readyz": Operation(
        "Can it decide?", "503 while it starts, and while it is being stopped.", "operation", 200, Health
    ),
    "metrics": Operation("Figures for Prometheus", "The books among them.", "operation", 200, None),
}
