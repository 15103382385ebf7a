"""A model's configuration as Vowpal Wabbit's: its command line, the name of its state, its first weights."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from sidecar.contracts.errors import BadWeights
from sidecar.contracts.model_section import ModelConfig

_OF_NO_MATTER = ("max_pending", "shuffle", "base")
"""What a trainer's state does not depend on. The order of learning does, and stands in the version log."""
_CAME_LATER = ("power_t", "initial_t", "ftrl_beta")
"""Left out of a state's name while they are at their defaults, as before they were there."""

_FTRL_BETA = 1.0  # VW's own


def options_of(model: ModelConfig) -> list[str]:
    """VW's command line for a model.

    >>> options_of(ModelConfig(optimizer="sgd", power_t=0.0))[5:]
    ['mtr', '-q', 'ca', '--sgd', '-l', '0.5', '--preserve_performance_counters', '--power_t', '0.0']
    """
    options = ["--cb_adf", "--quiet", "-b", str(vw_bits(model)), "--cb_type", model.cb_type]
    for pair in model.interactions:
        options += ["-q", pair]
    return [*options, *_optimizer(model), *_rates(model)]


def vw_bits(model: ModelConfig) -> int:
    """VW's ``-b``. Its two tables for ``dr`` lie in one, cell beside cell: each has half of it."""
    return model.bits + (model.cb_type == "dr")


def identity_of(model: ModelConfig) -> bytes:
    """What of a model's configuration the trainer's state depends on, as canonical JSON."""
    fields = msgspec.structs.asdict(model)
    default = ModelConfig()
    for name in _OF_NO_MATTER:
        del fields[name]
    for name in _CAME_LATER:
        if fields[name] == getattr(default, name):
            del fields[name]
    return msgspec.json.encode(fields | {"max_pending": 1})


def begin_with(model: ModelConfig, state: npt.NDArray[np.float32], values: npt.NDArray[np.float32]) -> None:
    """Put weights into the state of a trainer that has learnt nothing.

    ``ftrl`` works its weights out anew from the sum of gradients at every step: the sum is what gives them.

    Args:
        model: its configuration.
        state: the table that scores, ``(2 ** bits, columns)``; written to.
        values: reward-signed, ``(2 ** bits,)``.

    Raises:
        BadWeights: ``coin``, whose weights are its winnings: none are had without a history of bets.
    """
    if model.optimizer == "coin":
        raise BadWeights("coin cannot begin with weights alone: give it a checkpoint, or another optimizer")
    state[:, 0] = np.float32(0.0) - values
    if model.optimizer == "ftrl":
        beta = _FTRL_BETA if model.ftrl_beta is None else model.ftrl_beta
        state[:, 1] = values * np.float32(beta / model.learning_rate)


def _optimizer(model: ModelConfig) -> list[str]:
    rate = repr(model.learning_rate)
    match model.optimizer:
        case "adaptive" if model.cb_type == "dr":
            # VW keeps a normaliser for each table, and saves that of the second one only when told to.
            return ["-l", rate, "--per_model_save_load"]
        case "adaptive":
            return ["-l", rate]
        case "sgd":
            # Its rate falls with the examples learnt: those seen less those only predicted. VW saves both
            # counts and forgets the second one at a load, unless told to preserve it.
            return ["--sgd", "-l", rate, "--preserve_performance_counters"]
        case "ftrl":
            return ["--ftrl", "--ftrl_alpha", rate]
        case "coin":
            return ["--coin"]  # has no rate to set


def _rates(model: ModelConfig) -> list[str]:
    """What differs from VW's own defaults."""
    default = ModelConfig()
    changed = [name for name in _CAME_LATER if getattr(model, name) != getattr(default, name)]
    return [word for name in changed for word in (f"--{name}", repr(getattr(model, name)))]
