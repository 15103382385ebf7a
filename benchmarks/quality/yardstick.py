"""Vowpal Wabbit's own bandit as its manual has it: ``--cb_explore_adf``, text in, probabilities out.

Nothing of ours is between: names as they are, its own hashing, its own exploration. It explores as much as
ours does in all, the control share included, and draws with the same luck.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from vowpal_wabbit_next import TextFormatParser, Workspace

from benchmarks.quality.worlds import Round, World
from sidecar.contracts.application import Features, FeatureValue
from sidecar.contracts.arm_features import with_features
from sidecar.contracts.model_section import ModelConfig

Floats = npt.NDArray[np.float64]


class Yardstick:
    """One model of VW's.

    Args:
        world: for the options, which are those of ours.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._workspace = Workspace(options_of(world))
        self._parser = TextFormatParser(self._workspace)

    def pmf(self, one: Round) -> Floats:
        """How it would choose among the arms. Its float32s sum to 1 but for rounding, which is put right."""
        answer = self._workspace.predict_one(self._lines(one, {}))
        pmf = np.array([probability for _, probability in sorted(answer)], np.float64)
        return pmf / pmf.sum()

    def learn(self, one: Round, shown: int, probability: float) -> None:
        """What was heard of the arm that was shown."""
        label = f"{shown}:{-one.heard[shown]}:{probability} "
        self._workspace.learn_one(self._lines(one, {shown: label}))

    def _lines(self, one: Round, labels: dict[int, str]) -> list[object]:
        arms = with_features(self._world.catalogue.arms, one.arm_features)
        texts = [f"shared |c {_tokens(one.context)}"]
        texts += [
            f"{labels.get(k, '')}|a {_tokens({'id': arm.id, **arm.features})}" for k, arm in enumerate(arms)
        ]
        return [self._parser.parse_line(text) for text in texts]


def options_of(world: World) -> list[str]:
    """Its command line.

    Raises:
        ValueError: the world's model has options that are not handed on here.
    """
    model, explores = world.application.model, world.application.exploration
    known = ModelConfig(
        bits=model.bits,
        interactions=model.interactions,
        cb_type=model.cb_type,
        learning_rate=model.learning_rate,
        max_pending=model.max_pending,
    )
    if model != known:
        raise ValueError(f"{model}: the yardstick is VW's default optimizer")
    uniform = 1.0 - (1.0 - explores.control_share) * (1.0 - explores.epsilon)
    options = ["--cb_explore_adf", "--quiet", "--epsilon", repr(uniform), "--cb_type", model.cb_type]
    options += ["-b", str(model.bits), "-l", repr(model.learning_rate)]
    for pair in model.interactions:
        options += ["-q", pair]
    return options


def _tokens(features: Features) -> str:
    return " ".join([_token(name, value) for name, value in features.items()])


def _token(name: str, value: FeatureValue) -> str:
    if isinstance(value, bool):
        value = "true" if value else "false"
    return f"{name}={value}" if isinstance(value, str) else f"{name}:{value}"
