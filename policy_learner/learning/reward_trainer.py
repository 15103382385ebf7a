"""VW for whoever wants to know what rewards to expect: fed in parts, and asked for its weights.

Found by its entry point (``sidearm.reward_trainers``), as commands are: no process imports another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from policy_learner.learning.arm_sets import ArmSets
from policy_learner.learning.trainer import Example, Trainer
from policy_learner.learning.vw_learner import weights_of_trainer
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.weights import Weights

MODEL = ModelConfig(cb_type="mtr", learning_rate=0.1)
"""Regression on the arm that was shown, weighed by 1/propensity. ``dm`` will not do: VW's takes the cost of
arms that were not shown for 0. At the usual rate of 0.5 the last few rewards of an arm are most of what is
expected of it. Beside a simulated truth, after 20,000 decisions, in the root mean square: 0.014, at the usual
rate 0.046, by ``dm`` 0.10."""
_PART = 500


class VwRewards:
    """A model of rewards in training; :class:`sidecar.policy.learning.RewardTrainer`.

    Args:
        catalogue: the arms by a catalogue's version.
        model: what is trained.
    """

    def __init__(self, catalogue: Callable[[str], Catalogue], model: ModelConfig = MODEL) -> None:
        self._model = model
        self._arms = ArmSets(_Catalogues(catalogue))
        self._trainer = Trainer(model)
        self._learnt = 0

    def learn(self, events: Sequence[DecisionEvent], rewards: Sequence[float]) -> None:
        """Learn from some decisions, in their order.

        Raises:
            BadEvent: one that would poison the model.
            TrainerPoisoned: one that did.
        """
        for start in range(0, len(events), _PART):
            part = zip(events[start : start + _PART], rewards[start : start + _PART], strict=True)
            self._trainer.learn([Example(event, self._arms.of(event), reward) for event, reward in part])
        self._learnt += len(events)

    def weights(self) -> Weights:
        """What has been learnt; a score is the reward to expect."""
        return weights_of_trainer(self._model, self._trainer, self._learnt)


class _Catalogues:
    def __init__(self, get: Callable[[str], Catalogue]) -> None:
        self.get = get
