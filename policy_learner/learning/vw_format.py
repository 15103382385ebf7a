"""Finalised decisions as Vowpal Wabbit's text, and its numbers as ours. The only place that knows of cost.

VW minimises cost; the platform maximises reward: cost = -reward, and every prediction and weight changes its
sign on the way back.

A feature's name is written as the integer ``(hash - namespace hash) mod 2**32``: VW adds the namespace's hash
to names of digits, so it lands on the hash that serving uses, and no name needs escaping. Numbers are written
as hexadecimal floats: VW's own decimal parser is off by up to five units in the last place of a float32; what
it does not understand it hands to ``strtod``, which is exact.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from sidecar.contracts.application import Arm, Features, FeatureValue
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import DecisionEvent, features_of
from sidecar.contracts.hashing import (
    ARM_NAMESPACE,
    ARM_SEED,
    CONTEXT_NAMESPACE,
    CONTEXT_SEED,
    category_hash,
    name_hash,
)
from sidecar.policy.arm_table import arm_pairs
from sidecar.policy.features import MAGNITUDE_LIMIT, feature_pairs

REWARD_LIMIT = 1e9
"""Largest reward: its square, and that of a product of features, still fit a float32."""
_FULL = 0xFFFF_FFFF
_NAMES_KEPT = 1024
_WORDS_KEPT = 4096
_CONTEXT_BEGINS = f"shared |{CONTEXT_NAMESPACE} "
_pack, _unpack = struct.Struct("<f").pack, struct.Struct("<f").unpack
_length, _range = struct.Struct("<I"), struct.Struct("<ff")


class Example(NamedTuple):
    """What is learned from one decision."""

    event: DecisionEvent
    arms: tuple[Arm, ...]
    """The eligible arms with the features they were scored with (``contracts.events.arms_of``)."""
    reward: float
    correction: bool = False
    """``reward`` is what is to be added to what the model was told of this decision before."""


class ExampleText(NamedTuple):
    """An example on its way into VW: what changes with every decision as text, the arms as they are."""

    decision_id: str
    context: str
    label: str
    """Goes before the line of the arm that was shown. Of a correction it depends on what is predicted just
    then: see :func:`corrected`."""
    arms: tuple[Arm, ...]
    shown: int
    correction: tuple[float, float] | None = None
    """Of a correction: the difference of the reward, and the probability."""


class Foreseen(NamedTuple):
    """What was expected of the arms of some decisions, of each just before learning from it.

    Lists of plain values: an object for each example would be the garbage collector's to follow.
    """

    shown: list[float]
    """Of the arm that was shown, reward-signed."""
    costs: list[bytes]
    """Of all arms as VW answers them, float32, least cost first: :func:`scores_foreseen` reads them."""

    def extend(self, more: Foreseen) -> None:
        """Go on with other decisions."""
        self.shown.extend(more.shown)
        self.costs.extend(more.costs)


def packed(costs: Collection[float]) -> bytes:
    """What VW expects of a decision's arms, kept small."""
    return _packer(len(costs)).pack(*costs)


def scores_foreseen(costs: Sequence[bytes]) -> npt.NDArray[np.float32]:
    """What was expected of all arms, ``(n_rows, n_arms)``, reward-signed, best first; equally many in all."""
    return reward_signed(np.frombuffer(b"".join(costs), "=f4")).reshape(len(costs), -1)


def text_of(example: Example) -> ExampleText:
    """An example that VW can learn from without harm.

    Raises:
        BadEvent: it would poison the model: a propensity or an inclusion probability outside (0, 1], a reward
            that is not finite or beyond ``REWARD_LIMIT``, a context feature outside its range, an arm that is
            not the one that was shown. The message says which decision, which value, and what is legal.
    """
    event, arms, reward, correction = example
    if not (0.0 < event.propensity <= 1.0 and 0.0 < event.inclusion_probability <= 1.0):
        raise BadEvent(_improbable(event))
    if not -REWARD_LIMIT <= reward <= REWARD_LIMIT:
        raise BadEvent(
            f"{event.decision_id} has reward {reward}: legal are -{REWARD_LIMIT:g} to {REWARD_LIMIT:g}"
        )
    shown = event.arm_index
    if not 0 <= shown < len(arms) or arms[shown].id != event.arm:
        raise BadEvent(f"{event.decision_id} showed {event.arm!r}, which is not arm {shown} of {len(arms)}")
    # Whoever was kept with probability q stands for 1/q decisions: VW weighs by 1/probability.
    probability = event.propensity * event.inclusion_probability
    context = context_line(features_of(event))
    if correction:
        return ExampleText(event.decision_id, context, "", arms, shown, (reward, probability))
    return ExampleText(event.decision_id, context, _label(0.0 - reward, probability), arms, shown)


def _improbable(event: DecisionEvent) -> str:
    chances = {"propensity": event.propensity, "inclusion": event.inclusion_probability}
    name, chance = next((name, chance) for name, chance in chances.items() if not 0.0 < chance <= 1.0)
    return f"{event.decision_id} has {name} {chance}: legal is above 0, to 1"


def corrected(text: ExampleText, predicted_cost: float, seen: tuple[float, float]) -> str:
    """The label of a correction: what is predicted just now, plus the difference.

    Its gradient is the difference of two squared losses, that of the reward and that of what was assumed:
    ``(p - r) - (p - a) = -(r - a)``, whatever is predicted. VW's ``p`` is cut to the labels that it has seen.

    Args:
        text: of the correction.
        predicted_cost: of the arm that was shown.
        seen: least and largest cost that VW has learnt from.
    """
    assert text.correction is not None
    difference, probability = text.correction
    return _label(min(max(predicted_cost, seen[0]), seen[1]) - difference, probability)


def cost_of(label: str) -> float:
    """The cost in a label."""
    return _read_number(label.split(":", 2)[1])


def costs_seen(state: bytes) -> tuple[float, float]:
    """Least and largest cost that a serialized VW has learnt from, 0 among them: it cuts its predictions so.

    They stand behind its version, an id and the letter ``m``.
    """
    at = 0
    for _ in ("version", "id"):
        (size,) = _length.unpack_from(state, at)
        at += _length.size + size
    return cast("tuple[float, float]", _range.unpack_from(state, at + 1))


def context_line(features: Features) -> str:
    """The features that all arms of a decision share.

    >>> context_line({"hour": 0.5})
    'shared |c 2634460256:0x1.0000000000000p-1'
    """
    tokens = [
        _words[name][value] if type(value := features[name]) is str else _token(name, value)
        for name in sorted(features)
    ]
    return _CONTEXT_BEGINS + " ".join(tokens)


def check_arms(arms: tuple[Arm, ...]) -> None:
    """Refuse arms that stand twice: VW would count their features twice.

    Raises:
        BadEvent: two have the same id.
    """
    if len({arm.id for arm in arms}) < len(arms):
        raise BadEvent(f"of {len(arms)} arms some stand twice: ids must differ")


def check_correction(example: Example, cb_type: str) -> None:
    """Refuse a correction where it is none.

    Raises:
        BadEvent: the reduction does not minimise a squared loss.
    """
    if example.correction and cb_type != "mtr":
        raise BadEvent(
            f"{example.event.decision_id} is a correction: cb_type {cb_type} cannot learn it, mtr can"
        )


def arm_line(arm: Arm) -> str:
    """An arm's features, without a label.

    >>> arm_line(Arm("sku-1"))
    '|a 3332097502'
    """
    return f"|{ARM_NAMESPACE} " + " ".join([_feature(*pair, ARM_SEED) for pair in arm_pairs(arm)])


def reward_signed(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """VW's cost-signed weights or predictions as ours. Subtracted, not negated: no weight becomes -0.0."""
    signed: npt.NDArray[np.float32] = np.float32(0.0) - values
    return signed


def _label(cost: float, probability: float) -> str:
    return f"0:{_common_number(cost)}:{_common_number(probability)} "


def _feature(full_hash: int, value: float, seed: int) -> str:
    if value == 1.0:
        return str((full_hash - seed) & _FULL)
    return f"{(full_hash - seed) & _FULL}:{_number(value)}"


@lru_cache(maxsize=4096)
def _packer(n_arms: int) -> struct.Struct:
    return struct.Struct(f"={n_arms}f")


class _Words(dict[str, str]):
    """Value of a category of the context to its token: the same few come again and again."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __missing__(self, value: str) -> str:
        if len(self) >= _WORDS_KEPT:
            self.clear()
        token = str((category_hash(self._name, value, CONTEXT_SEED) - CONTEXT_SEED) & _FULL)
        self[value] = token
        return token


class _AllWords(dict[str, _Words]):
    """By name. A lookup in two dictionaries takes half of what one in a cache with a bound does."""

    def __missing__(self, name: str) -> _Words:
        if len(self) >= _NAMES_KEPT:
            self.clear()
        words = self[name] = _Words(name)
        return words


_words = _AllWords()


def _token(name: str, value: FeatureValue) -> str:
    """Any other feature of the context: of numbers only the name comes again."""
    if type(value) is float and -MAGNITUDE_LIMIT <= value <= MAGNITUDE_LIMIT:
        return _name(name) if value == 1.0 else f"{_name(name)}:{_number(value)}"
    ((full_hash, magnitude),) = feature_pairs({name: value}, CONTEXT_SEED)  # refuses what is out of range
    return _feature(full_hash, magnitude, CONTEXT_SEED)


@lru_cache(maxsize=65_536)
def _name(name: str) -> str:
    """Of a number of the context."""
    return str((name_hash(name, CONTEXT_SEED) - CONTEXT_SEED) & _FULL)


def _number(value: float) -> str:
    single: float = _unpack(_pack(value))[0]
    return (single + 0.0).hex()  # -0.0 and 0.0 are one number: make them one text


_read_number = lru_cache(maxsize=4096)(float.fromhex)
_common_number = lru_cache(maxsize=4096)(_number)
"""Rewards are mostly none or one, and propensities one of a few."""
