"""``[model]`` and ``[model.base]``: the linear model, and a slow one beneath it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from sidecar.contracts.ranges import Positive


class BaseConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[model.base]``: a second model that changes rarely; its score of an arm is a feature of the arm.

    The section alone switches it on. `sidearm models base` says which model it is; until then nothing is
    added.
    """

    feature: Annotated[str, Meta(min_length=1, max_length=128)] = "base_score"
    """Name of the arm feature that holds its score. It covers any other of that name."""


_POWER_T = 0.5


class ModelConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[model]``: the linear model, in Vowpal Wabbit's terms.

    Context features live in namespace ``c``, arm features in namespace ``a``; every arm also has its id as
    a feature.
    """

    bits: Annotated[int, Meta(ge=8, le=24)] = 18
    """The weights are a table of 2^bits. More: fewer features share a weight, a longer record."""
    interactions: tuple[Literal["ca", "aa", "cc"], ...] = ("ca",)
    """Which namespaces are crossed. ``ca`` is what makes the choice depend on the context."""
    cb_type: Literal["mtr", "ips", "dm", "dr"] = "mtr"
    """How a logged reward becomes a training example: multi-task regression, inverse propensity, direct,
    doubly robust (which trains a second table, of costs, and takes twice the memory)."""
    optimizer: Literal["adaptive", "sgd", "ftrl", "coin"] = "adaptive"
    """``adaptive`` is VW's default (adaptive, normalised, invariant)."""
    learning_rate: Positive = 0.5
    """VW's ``--learning_rate``; ``ftrl``: its ``--ftrl_alpha``; ``coin`` has none."""
    power_t: Annotated[float, Meta(ge=0.0, le=1.0)] = _POWER_T
    """How fast the rate falls with what was learnt (``adaptive``, ``sgd``). 0: never; smaller follows a world
    that changes, larger settles. VW's ``--power_t``."""
    initial_t: Annotated[float, Meta(gt=0.0, le=1e9)] | None = None
    """As if so many examples had been learnt before the first (``adaptive``, ``sgd``): larger begins more
    slowly. None: VW's own, 0 for ``adaptive``, 1 for ``sgd``. VW's ``--initial_t``."""
    ftrl_beta: Annotated[float, Meta(gt=0.0, le=1e6)] | None = None
    """Steadies the first steps of ``ftrl`` and ``coin``. None: VW's own, 1. VW's ``--ftrl_beta``."""
    shuffle: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """0: examples are learnt in the order of the log. N: blocks of up to N of them, as many as have come,
    are learnt each in an order drawn from a hash, so that neighbours do not pull one way. More: better mixed,
    more memory. A change takes effect at the next start; what was learnt before is rebuilt as it was learnt.
    """
    max_pending: Annotated[int, Meta(ge=1)] = 1_000_000
    """Decisions waiting for their horizon, per partition, before new ones are shed from the log."""
    base: BaseConfig | None = None

    def __post_init__(self) -> None:
        """Refuse what would have no effect.

        Raises:
            ValueError: an option that the optimizer does not have.
        """
        if self.optimizer in ("ftrl", "coin") and (self.power_t != _POWER_T or self.initial_t is not None):
            raise ValueError(f"{self.optimizer} has no power_t and no initial_t: legal with adaptive and sgd")
        if self.optimizer in ("adaptive", "sgd") and self.ftrl_beta is not None:
            raise ValueError(f"{self.optimizer} has no ftrl_beta: legal with ftrl and coin")
