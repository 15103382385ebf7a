"""One version of the weights, as it is published."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from policy_learner.join.positions import ms_of
from policy_learner.learning.trainers import Float32s
from sidecar.contracts.calibration import Calibration
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.weights import Weights, WeightsHeader, encode_weights, weights_of


class Record(NamedTuple):
    """One version of the weights, as it is published."""

    weights: Weights
    encoded: bytes
    checksum: str
    """sha256 of ``encoded``."""


class Named(NamedTuple):
    """What a record says of itself, beside its weights."""

    version: int
    epoch: int
    """Of the learner that publishes it."""
    examples: int
    """Trained on."""
    trained: Sequence[str]
    """Last position trained on, of each partition."""


def record_of(
    model: ModelConfig,
    named: Named,
    values: Float32s,
    calibration: Calibration | msgspec.UnsetType | None,
) -> Record:
    """The record of these weights.

    Args:
        model: that they are of.
        named: which version it is.
        values: of the weights, ``(2 ** bits,)``.
        calibration: what their scores mean; unset: it is not spoken of, as in records of old.

    Raises:
        BadWeights: a weight is not finite.
    """
    header = WeightsHeader(
        version=named.version,
        bits=model.bits,
        interactions=model.interactions,
        positions=tuple(named.trained),
        trained_until_ms=max(map(ms_of, named.trained)),
        epoch=named.epoch,
        examples=named.examples,
        calibration=calibration,
    )
    weights = weights_of(header, values)
    encoded = encode_weights(weights)
    return Record(weights, encoded, hashlib.sha256(encoded).hexdigest())
